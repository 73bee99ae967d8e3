"""Every number of a mixture's report, computed from its files."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import polars as pl

from smolmix.counted import profiles_counted
from smolmix.fetched import read_record
from smolmix.mixtures.selection.lock import Lock
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.report.figures import across, constraints, flow, shapes, training
from smolmix.pipelines.stats.dropped import reasons, scan_dropped
from smolmix.pipelines.stats.samples import FACETS, scan, selected_rows
from smolmix.profiles import ChatProfile, PixelProfile, Profile
from smolmix.workspace import Workspace, stage_record

_DUPLICATE_STAGES = ("dedup", "decontaminate", across.STAGE)
SHARED = ("samples", "tokens", "supervised_tokens", "tiles")
_NUMBERS = (
    *shapes.DISTRIBUTIONS,
    "supervised_tokens",
    "frames",
    "duration_s",
    "images",
    "videos",
    "bytes",
)


Use = Literal["commercial use named", "non-commercial", "not clear"]

_NON_COMMERCIAL = re.compile(r"(^|[^a-z])nc([^a-z]|$)|non-?commercial|research[- ]only|academic")
_OPEN = re.compile(
    r"apache|(^|[^a-z])mit([^a-z]|$)|bsd|cc0|cc-by(-sa)?(-[0-9.]+)?$|odc-by|psf|python|"
    r"public[- ]domain|unlicense|gpl|cdla-permissive"
)


def recorded_profile(workspace: Workspace, name: str, corpus: str) -> Profile | None:
    """Return the profile that a corpus's counts record, or None if they record none."""
    recorded = stage_record(workspace.counts(name, corpus)).info.get("profile")
    if not isinstance(recorded, dict):
        return None
    chat = dict(recorded["chat"])
    chat["system_prompts"] = tuple(tuple(p) for p in chat.get("system_prompts", ()))
    return Profile(pixel=PixelProfile(**recorded["pixel"]), chat=ChatProfile(**chat))


def counted_profile(workspace: Workspace, lock: Lock) -> Profile | None:
    """Return the profile that the mixture was counted with, or None if the counts are gone."""
    corpora = sorted(lock.corpora)
    if lock.profile not in profiles_counted(workspace, corpora):
        return None
    return recorded_profile(workspace, lock.profile, corpora[0])


def selected_frame(workspace: Workspace, lock: Lock, samples: pl.DataFrame) -> pl.DataFrame:
    """Return one row per drawn sample with its facets and numbers, in no particular order."""
    frames = []
    counted = lock.profile in profiles_counted(workspace, sorted(lock.corpora))
    for corpus in sorted(samples["corpus"].unique().to_list()):
        profile = lock.profile if counted else None
        measures = scan(workspace, "curated", [corpus], profile=profile)
        names = measures.frame.collect_schema().names()
        wanted = selected_rows(workspace, corpus, samples).select("at", "repeat").lazy()
        columns = [
            *(pl.col(c).cast(pl.Categorical) for c in FACETS),
            *(pl.col(c) for c in _NUMBERS if c in names),
        ]
        frame = measures.frame.select(columns).with_row_index("at")
        frames.append(frame.join(wanted, on="at").drop("at").collect(engine="streaming"))
    if not frames:
        numbers = {c: pl.Float64 if c == "duration_s" else pl.Int64 for c in _NUMBERS}
        return pl.DataFrame(schema={**dict.fromkeys(FACETS, pl.Categorical), **numbers})
    return pl.concat(frames)


def shares(frame: pl.DataFrame, by: str) -> list[dict[str, Any]]:
    """Return samples, tokens, supervised tokens and tiles for each value of a facet."""
    present = [c for c in SHARED if c in frame.columns]
    table = (
        frame.group_by(pl.col(by).cast(pl.String))
        .agg(pl.len().cast(pl.Int64).alias("samples"), *(pl.col(c).sum() for c in present))
        .sort("samples", by, descending=[True, False])
    )
    return table.to_dicts()


def totals(frame: pl.DataFrame, samples: pl.DataFrame) -> dict[str, float]:
    """Return the mixture's size in every unit."""
    out: dict[str, float] = {
        "samples_drawn": frame.height,
        "distinct_samples": samples.select(pl.struct("corpus", "part", "row").n_unique()).item(),
    }
    for name in _NUMBERS:
        if name in frame.columns and name not in ("answer_chars", "duration_s"):
            out["turns" if name == "n_turns" else name] = int(frame[name].sum())
    out["video_hours"] = float(frame["duration_s"].sum()) / 3600
    cot = int((frame["cot"].cast(pl.String) != "none").sum())
    out["cot_samples"] = cot
    out["cot_share"] = cot / frame.height if frame.height else 0.0
    return out


def allowed_use(licence: str) -> Use:
    """Return what a licence's name says about commercial use; this is not legal advice."""
    name = licence.lower()
    if _NON_COMMERCIAL.search(name):
        return "non-commercial"
    return "commercial use named" if _OPEN.search(name) else "not clear"


def licence_table(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each licence's share, and what its name says about commercial use."""
    weight = "tokens" if "tokens" in frame.columns else "samples"
    table = shares(frame, "licence")
    total = sum(r[weight] for r in table) or 1
    return [
        {**r, "use": allowed_use(r["licence"]), "share": r[weight] / total, "of": weight}
        for r in table
    ]


def provenance(workspace: Workspace, lock: Lock) -> dict[str, Any]:
    """Return what the mixture was built from, so that it can be rebuilt."""
    corpora = []
    for name, one in sorted(lock.corpora.items()):
        record = read_record(workspace, name)
        corpora.append(
            {
                "corpus": name,
                "revision": one.revision or (record.revision if record else ""),
                "licence": one.licence or (record.licence if record else ""),
                "hub_id": record.hub_id if record else "",
                "curated": one.curated,
                "counts": one.counts,
            }
        )
    return {
        "smolmix": lock.smolmix,
        "spec_file": lock.spec_file,
        "spec": lock.spec,
        "sources": lock.sources,
        "seed": lock.seed,
        "profile": lock.profile,
        "selection": lock.selection,
        "removals": lock.removals,
        "corpora": corpora,
    }


def _dropped(workspace: Workspace, corpora: Sequence[str]) -> list[dict[str, Any]]:
    return reasons(scan_dropped(workspace, corpora), ("corpus", "stage", "reason")).to_dicts()


def figures(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return every number of a built mixture's report.

    Raises:
        DataError: the mixture was not built, or is older than its corpora.
    """
    selection = current_selection(workspace, name)
    lock, samples = selection.lock, selection.samples
    corpora = sorted(lock.corpora)
    frame = selected_frame(workspace, lock, samples)
    profile = counted_profile(workspace, lock)
    spec = constraints.read_spec(lock)
    dropped = _dropped(workspace, corpora)
    dropped += across.counts(across.read_removals(workspace, corpora))
    flows = {c: flow.corpus_flow(workspace, c, samples) for c in corpora}
    facets = {by: shares(frame, by) for by in FACETS}
    seconds = frame.filter(pl.col("duration_s") > 0)["duration_s"]
    epochs = Counter(samples.group_by("corpus", "part", "row").len()["len"].to_list())
    return {
        "name": name,
        "about": spec.about,
        "totals": totals(frame, samples),
        "flow": {"total": flow.bars(flow.total_flow(flows)), "corpora": flows},
        "constraints": [asdict(c) for c in constraints.constraint_results(lock)],
        "exhausted": [asdict(e) for e in constraints.exhausted(lock)],
        "excluded": dict(lock.excluded),
        "unpublished": dict(lock.unpublished),
        "shares": facets,
        "licences": licence_table(frame),
        "distributions": shapes.by_modality(frame),
        "images": shapes.image_sizes(
            scan(workspace, "curated", corpora, sizes=True).sizes,
            profile.pixel if profile else None,
        ),
        "durations": {
            **shapes.durations(seconds, spec.caps.duration_s.buckets),
            "target_mean_s": spec.caps.duration_s.mean,
            "max_s": spec.caps.duration_s.max if spec.caps.duration_s.max < 1e12 else None,
        },
        "epochs": [{"times": k, "samples": v} for k, v in sorted(epochs.items())],
        "dropped": dropped,
        "duplicates": [d for d in dropped if d["stage"] in _DUPLICATE_STAGES],
        "packing": training.packing(workspace, name),
        "runs": training.runs(workspace, name),
        "provenance": provenance(workspace, lock),
    }
