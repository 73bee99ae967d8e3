"""`smolmix curate`: measured samples to the kept ones, and a reason for every dropped one.

The steps of one corpus, each resumable by itself:

1. measure: every row once, with its media (`curate/measure`).
2. filter: the policy's rules (`curate/filter.py`, `curate/rules`).
3. duplicates, exact and near (`curate/dedup`).
4. contamination (`curate/decontaminate`).
5. merge conversations, if the policy says so (`curate/dedup/merge.py`).
6. curate: write the curated parts, without what steps 2 to 5 dropped.

Only `measure` opens media, and of these again only pairs that thumbnails cannot decide.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix import curated, removals
from smolmix.accounting import RowAccounting
from smolmix.engine.run import print_summary, run_stage
from smolmix.engine.stage import (
    IN_THIS_PROCESS,
    Result,
    RunOptions,
    Stage,
    Summary,
    Unit,
    UnitContext,
)
from smolmix.pipelines.curate.decontaminate import run as decontaminate
from smolmix.pipelines.curate.dedup import exact, merge
from smolmix.pipelines.curate.dedup.inputs import DedupInput, dropped_by_rules
from smolmix.pipelines.curate.dedup.media import confirm, dense_buckets
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.dedup.text import near_duplicates
from smolmix.pipelines.curate.filter import filter_corpus
from smolmix.pipelines.curate.measure.run import measure_corpus
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.curate.steps import Steps
from smolmix.pipelines.sources.source import Source
from smolmix.removals import Removal
from smolmix.sample import Dropped
from smolmix.schema import SAMPLE_SCHEMA, dropped_table
from smolmix.storage import Folder
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CurateInput:
    """The folders of the earlier steps."""

    measured: str
    filtered: str
    removals: tuple[str, ...]  # the first that names a row decides
    merged: str  # folder of merged samples, or ""


def _run(unit: Unit[CurateInput], context: UnitContext) -> Result:
    payload = unit.payload
    found = removals.of_part(map(Folder, payload.removals), unit.name)
    count, broken = dropped_by_rules(Folder(payload.filtered), unit.name)
    accounting, dropped = RowAccounting(samples=count), list[Dropped]()
    heads, repeated = dict[int, pa.Table](), 0
    if payload.merged:
        heads, repeated = merge.of_part(Folder(payload.merged), unit.name)
    if repeated:
        accounting.turns_dropped = {merge.SAME_QUESTION: 2 * repeated}
    start = 0
    out = context.out / curated.sample_file(unit.name)
    with pq.ParquetWriter(out, SAMPLE_SCHEMA, compression="zstd") as writer:
        for table in curated.read_batches(Folder(payload.measured), unit.name, rows=_ROWS):
            rows = range(start, start + table.num_rows)
            kept = [row for row in rows if row not in broken and row not in found]
            dropped += _dropped(table, rows, broken, found)
            own = table.take(pa.array([row - start for row in kept], pa.int64()))
            writer.write_table(_replaced(own, [heads.get(row) for row in kept]))
            accounting.kept += len(kept)
            start = rows.stop
    for one in dropped:
        if one.reason == merge.MERGED:
            accounting.merged += 1
        elif one.reason.startswith(("duplicate", "same-")):
            accounting.duplicates += 1
        else:
            accounting.drop(one)
    accounting.dropped = dict(sorted(accounting.dropped.items()))
    pq.write_table(
        dropped_table(dropped), context.out / curated.dropped_file(unit.name), compression="zstd"
    )
    others = {merge.MERGED, *accounting.dropped}
    duplicates = {r: n for r, n in removals.count_reasons(found).items() if r not in others}
    return Result(accounting=accounting, stats={"duplicates": duplicates})


def _replaced(table: pa.Table, instead: Sequence[pa.Table | None]) -> pa.Table:
    """Return the table with some of its rows replaced by tables of one row."""
    pieces, done = list[pa.Table](), 0
    for row, other in enumerate(instead):
        if other is not None:
            pieces += [table.slice(done, row - done), other.cast(table.schema)]
            done = row + 1
    return pa.concat_tables([*pieces, table.slice(done)]).combine_chunks() if pieces else table


def _dropped(
    table: pa.Table,
    rows: range,
    broken: Mapping[int, tuple[str, str]],
    found: Mapping[int, Removal],
) -> list[Dropped]:
    """Return the reason for each row of the table that is dropped; a rule's comes first."""
    columns = table.select(["id", "source_file", "source_row"]).to_pydict()
    dropped = []
    for i, row in enumerate(rows):
        if row in broken:
            stage, kept_id = "filter", ""
            reason, detail = broken[row]
        elif row in found:
            one = found[row]
            stage, reason, detail, kept_id = one.stage, one.reason, one.detail, one.kept_id
        else:
            continue
        dropped.append(
            Dropped(
                id=columns["id"][i],
                stage=stage,
                reason=reason,
                detail=detail,
                source_file=columns["source_file"][i],
                source_row=columns["source_row"][i],
                kept_id=kept_id,
            )
        )
    return dropped


STAGE = Stage(name="curate", version=2, run=_run)


def curate_corpus(
    source: Source,
    policy: Policy,
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
    contamination_set: Sequence[str] = (),
    decode: bool = True,
) -> Summary:
    """Measure and curate one fetched corpus into `curated/<corpus>`.

    Args:
        source: the corpus.
        policy: rules, duplicates, contamination.
        workspace: where it was fetched to.
        options: workers, and how much is printed.
        contamination_set: files whose texts must not be in the corpus.
        decode: decode media while measuring.
    """
    started = time.monotonic()
    steps = Steps(workspace=workspace, options=options.for_steps())
    measured = measure_corpus(source, workspace, options=steps.options, decode=decode)
    folder = workspace.curated(source.id)
    summary = apply_policy(
        source.id, policy, steps, folder=folder, contamination_set=contamination_set
    )
    if not options.quiet:
        accounting = measured.accounting.then(summary.accounting)
        done = "" if measured.done or summary.done else "up to date"
        print_summary(f"curate {source.id}", done, accounting, time.monotonic() - started)
    return summary


def apply_policy(
    corpus: str,
    policy: Policy,
    steps: Steps,
    *,
    folder: Folder,
    contamination_set: Sequence[str] = (),
) -> Summary:
    """Curate a measured corpus into `folder`.

    Args:
        corpus: a corpus with `measured/<corpus>`.
        policy: rules, duplicates, contamination.
        steps: how the steps before run, and where they keep their files.
        folder: where the curated parts go.
        contamination_set: files whose texts must not be in the corpus.
    """
    measured = steps.workspace.measured(corpus)
    record = stage_record(measured)
    filtered = filter_corpus(corpus, policy, steps)
    found = _removals(corpus, policy, steps, filtered, contamination_set)
    names = [f.path.rsplit("/", 2)[-2] for f in found]
    depends = {
        f"removals {name}": stage_record(f).digest for name, f in zip(names, found, strict=True)
    }
    rules = stage_record(filtered).units
    merged = found[-1].url if policy.dedup.same_image == "merge" else ""
    units = [
        Unit(
            name=name,
            inputs={"measured": digest, "filter": rules[name]} | depends,
            params={},
            payload=CurateInput(
                measured=measured.url,
                filtered=filtered.url,
                removals=tuple(f.url for f in found),
                merged=merged,
            ),
        )
        for name, digest in record.units.items()
    ]
    info = dict(record.info) | {"policy": policy.name, "policy_digest": policy.digest()}
    info |= {"steps": sorted(names), "dense_buckets": _dense_buckets(corpus, policy, steps)}
    few = replace(steps.options, workers=0) if len(units) <= 1 else steps.options
    return run_stage(STAGE, units, folder=folder, options=few, info=info)


def _removals(
    corpus: str,
    policy: Policy,
    steps: Steps,
    filtered: Folder,
    contamination_set: Sequence[str],
) -> list[Folder]:
    """Find what is removed in addition to what the rules drop; the first folder decides."""
    measured, dedup = steps.workspace.measured(corpus), policy.dedup
    samples = stage_record(filtered).accounting.samples
    left, found = DedupInput(corpus=corpus, filtered=filtered.url), list[Folder]()

    def without(folder: Folder) -> DedupInput:
        found.append(folder)
        return replace(left, removed=tuple(f.url for f in found))

    if dedup.exact:
        media = MediaTables(urls=(measured.url,))
        clusters = confirm.find(steps, corpus, media, dedup)
        same_image = dedup.same_image
        left = without(
            exact.find(steps, corpus, [left], samples, clusters=clusters, same_image=same_image)
        )
    if dedup.text.enabled and left.texts():
        left = without(near_duplicates.find(steps, corpus, [left], dedup.text))
    contaminated = decontaminate.find(
        steps, left, dedup, policy.decontaminate, files=contamination_set
    )
    if contaminated is not None:
        left = without(contaminated)
    if dedup.same_image == "merge":
        left = without(merge.find(steps, left, measured, samples, dedup.merge))
    return found


def _dense_buckets(corpus: str, policy: Policy, steps: Steps) -> dict[str, dict[str, int]]:
    """Return, by kind of medium, how many media are in dense buckets, and their pairs."""
    name = confirm.step_name(corpus, policy.dedup)
    folder = steps.shared().folder(dense_buckets.STAGE.name, name)
    if not (policy.dedup.exact and folder.exists(STAGE_FILE)):
        return {}
    return dense_buckets.counts(folder)
