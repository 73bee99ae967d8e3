"""Duplicates across corpora, as `removals/`: adding a corpus rewrites no other's files.

The Cauldron recurs inside LLaVA-OneVision, MAmmoTH-VL and FineVision, so shares mean little
before one copy is chosen. It is the one in the corpus that the policy's `priority` names first;
corpora it does not name follow by id. A mixture of exactly these corpora leaves the other copies
out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Summary, Unit, UnitContext
from smolmix.errors import UsageError
from smolmix.pipelines.curate.dedup import exact
from smolmix.pipelines.curate.dedup.inputs import DedupInput
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.dedup.text import near_duplicates
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.curate.run import Run, media_clusters, media_label, texts_of
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Folders of removals to join."""

    folders: tuple[str, ...]


def _run(unit: Unit[Payload], context: UnitContext) -> Result:
    payload = unit.payload
    seen, tables, reasons = set[str](), list[pa.Table](), dict[str, int]()
    for folder in map(Folder, payload.folders):
        rows = [r for r in removals.read(folder).to_pylist() if r["id"] not in seen]
        seen.update(r["id"] for r in rows)
        for row in rows:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
        tables.append(pa.Table.from_pylist(rows, schema=removals.SCHEMA))
    table = pa.concat_tables([removals.SCHEMA.empty_table(), *tables]).sort_by("id")
    removals.write_table(context.out / f"{unit.name}{removals.SUFFIX}", table)
    return Result(accounting=RowAccounting(), stats={"reasons": dict(sorted(reasons.items()))})


STAGE = Stage(name="removals", version=1, run=_run)


def ranked(corpora: Sequence[str], policy: Policy) -> list[str]:
    """Return the corpora, the one that keeps its copies first."""
    named = {name: i for i, name in enumerate(policy.dedup.priority)}
    return sorted(set(corpora), key=lambda c: (named.get(c, len(named)), c))


def _dedup_input(workspace: Workspace, corpus: str, rank: int) -> DedupInput:
    work = workspace.child("dedup")
    steps = stage_record(workspace.curated(corpus)).info["steps"]  # an older policy's may lie there
    return DedupInput(
        corpus=corpus,
        rank=rank,
        filtered=work.child("filter", corpus).url,
        removed=tuple(work.child(step, corpus).url for step in steps),
        merged=work.child("merge", corpus).url if "merge" in steps else "",
    )


def across(corpora: Sequence[str], policy: Policy, run: Run) -> Summary:
    """Find what two or more curated corpora share, and write which copies leave.

    Raises:
        UsageError: fewer than two corpora.
        IncompleteError: one of them is not curated.
    """
    names = ranked(corpora, policy)
    if len(names) < 2:
        raise UsageError(f"--across: {len(names)} corpus; name two or more that are curated")
    for name in names:
        stage_record(run.workspace.curated(name))
    inputs = [_dedup_input(run.workspace, name, rank) for rank, name in enumerate(names)]
    folder = removals.set_folder(run.workspace, names)
    work, label = run.workspace.child("dedup"), f"across-{folder.name}"
    media = MediaTables(urls=tuple(run.workspace.measured(n).url for n in names))
    samples = sum(stage_record(run.workspace.curated(n)).accounting.kept for n in names)
    clusters = media_clusters(run, media_label(label, policy), media, policy)
    found = [work.child("exact", label)]
    partitions = exact.units(
        inputs,
        samples,
        clusters=clusters,
        same_image=policy.dedup.same_image,
        across=True,
    )
    run.stage(exact.STAGE, partitions, found[0])
    if policy.dedup.text.enabled and any(texts_of(Folder(o.filtered)) for o in inputs):
        rules = policy.dedup.text
        found.append(near_duplicates.find(run.stage, work, label, inputs, rules, across=True))
    unit = Unit(
        name="across-00000",
        inputs={f.path.rsplit("/", 2)[-2]: stage_record(f).digest for f in found},
        params={},
        payload=Payload(folders=tuple(f.url for f in found)),
    )
    curated = {n: stage_record(run.workspace.curated(n)).digest for n in sorted(names)}
    info = {"corpora": sorted(names), "priority": names, "policy": policy.name, "curated": curated}
    return run.stage(STAGE, [unit], folder, info)
