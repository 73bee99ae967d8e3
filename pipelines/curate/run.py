"""Stage "curate": measured samples to the kept ones, and each loss with its reason.

The steps of one corpus, each resumable by itself: measure (media and text, once), filter (the
policy's rules), duplicates (exact; near ones by hash and pixels), contamination, merging where
the policy asks for it, and last the curated parts, without the removed rows. Only `measure` opens
media, and of those again only the pairs that hashes propose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import (
    IN_THIS_PROCESS,
    P,
    Result,
    RunOptions,
    Stage,
    Summary,
    Unit,
    UnitContext,
)
from smolmix.pipelines.curate import filter as filtering
from smolmix.pipelines.curate.decontaminate import run as decontaminate
from smolmix.pipelines.curate.dedup import exact, merge
from smolmix.pipelines.curate.dedup.inputs import DedupInput
from smolmix.pipelines.curate.dedup.media import candidates, confirm, dense_buckets
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.dedup.text import near_duplicates
from smolmix.pipelines.curate.measure.run import measure_corpus
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.sources.source import Source
from smolmix.removals import Removal
from smolmix.sample import Dropped
from smolmix.schema import dropped_table
from smolmix.storage import Folder, digest_json
from smolmix.workspace import STAGE_FILE, Workspace, manifests, stage_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a worker needs beside the unit's key."""

    measured: str
    filtered: str
    removals: tuple[str, ...]  # folders; the first that names a row decides
    merged: str  # folder of merged samples, or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the steps of one call run."""

    workspace: Workspace
    options: RunOptions = IN_THIS_PROCESS
    against: tuple[str, ...] = ()  # files whose texts must not be in training data

    def stage(
        self,
        stage: Stage[P],
        units: list[Unit[P]],
        folder: Folder,
        info: Mapping[str, object] | None = None,
    ) -> Summary:
        """Run one stage; a single unit needs no Ray unless it opens media."""
        few = len(units) <= 1 and stage.count_rows is None
        return run_stage(
            stage,
            units,
            folder=folder,
            options=replace(self.options, workers=0) if few else self.options,
            info=info,
        )


def _run(unit: Unit[Payload], context: UnitContext) -> Result:
    payload = unit.payload
    found = removals.of_part(map(Folder, payload.removals), unit.name)
    with Folder(payload.filtered).open(unit.name + filtering.SUFFIX) as stream:
        rows = pq.read_table(stream, columns=["row", "reason", "detail"]).to_pylist()
    losses = {r["row"]: (r["reason"], r["detail"]) for r in rows if r["reason"]}
    accounting, dropped = RowAccounting(samples=len(rows)), list[Dropped]()
    heads, left_out = (
        merge.of_part(Folder(payload.merged), unit.name) if payload.merged else ({}, 0)
    )
    if left_out:
        accounting.turns_dropped = {merge.ASKED_ALREADY: 2 * left_out}
    out = context.out / f"{unit.name}.parquet"
    with Folder(payload.measured).open(f"{unit.name}.parquet") as stream:
        file, start = pq.ParquetFile(stream), 0
        schema = file.schema_arrow
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                kept = [
                    i
                    for i in range(table.num_rows)
                    if start + i not in losses and start + i not in found
                ]
                dropped += _dropped(table, start, set(kept), losses, found)
                own = table.take(pa.array(kept, pa.int64()))
                writer.write_table(
                    _with(own, {k: heads.get(start + i) for k, i in enumerate(kept)})
                )
                accounting.kept += len(kept)
                start += table.num_rows
    for one in dropped:
        if one.reason == merge.MERGED:
            accounting.merged += 1
        elif one.reason.startswith(("duplicate", "same-")):
            accounting.duplicates += 1
        else:
            accounting.drop(one)
    accounting.dropped = dict(sorted(accounting.dropped.items()))
    pq.write_table(
        dropped_table(dropped), context.out / f"{unit.name}.dropped.parquet", compression="zstd"
    )
    apart = {merge.MERGED, *accounting.dropped}
    duplicates = {r: n for r, n in removals.count_reasons(found).items() if r not in apart}
    return Result(accounting=accounting, stats={"duplicates": duplicates})


def _with(table: pa.Table, instead: Mapping[int, pa.Table | None]) -> pa.Table:
    """Return the table with some of its rows replaced by tables of one row."""
    pieces, at = list[pa.Table](), 0
    for row, other in sorted(instead.items()):
        if other is not None:
            pieces += [table.slice(at, row - at), other.cast(table.schema)]
            at = row + 1
    return pa.concat_tables([*pieces, table.slice(at)]).combine_chunks() if pieces else table


def _dropped(
    table: pa.Table,
    start: int,
    kept: set[int],
    losses: Mapping[int, tuple[str, str]],
    found: Mapping[int, Removal],
) -> list[Dropped]:
    """Return why each row of the table that is not kept leaves."""
    columns = table.select(["id", "source_file", "source_row"]).to_pydict()
    dropped = []
    for i in range(table.num_rows):
        if i in kept:
            continue
        stage, kept_id = "filter", ""
        if start + i in losses:
            reason, detail = losses[start + i]
        else:
            removal = found[start + i]
            stage, reason, detail = removal.stage, removal.reason, removal.detail
            kept_id = removal.kept_id
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


def curate_corpus(source: Source, policy: Policy, run: Run, *, decode: bool = True) -> Summary:
    """Measure and curate one fetched corpus into `curated/<corpus>`.

    Args:
        source: the corpus.
        policy: rules, duplicates, contamination.
        run: workspace and options.
        decode: decode media while measuring.
    """
    measure_corpus(
        source,
        run.workspace,
        options=run.options,
        decode=decode,
    )
    return apply_policy(source.id, policy, run, folder=run.workspace.curated(source.id))


def media_label(corpus: str, policy: Policy) -> str:
    """Return the name of a corpus's media comparison: one for each way to compare."""
    dedup = policy.spec["dedup"]
    return f"{corpus}-{digest_json([dedup['images'], dedup['videos']])[:8]}"


def media_clusters(
    run: Run,
    name: str,
    media: MediaTables,
    policy: Policy,
    *,
    against: MediaTables | None = None,
) -> Folder | None:
    """Find media that show the same picture or clip; None where there are none to compare."""
    proposed = candidates.units(media, policy.dedup, against)
    if not proposed:
        return None
    work = run.workspace.child("dedup")  # shared: another policy may compare the same pairs
    pairs, dense, same = (
        work.child(step, name) for step in ("candidates", "dense-buckets", "confirm")
    )
    every = media + against if against else media
    run.stage(candidates.STAGE, proposed, pairs)
    run.stage(dense_buckets.STAGE, dense_buckets.units(pairs, media, policy.dedup, against), dense)
    compared = confirm.units(run.workspace, pairs, dense, every, policy.dedup)
    run.stage(confirm.STAGE, compared, same)
    return same


def _dense_buckets(run: Run, corpus: str, policy: Policy) -> dict[str, dict[str, int]]:
    """Return, by kind of medium, how many are in dense buckets, and their pairs."""
    folder = run.workspace.child("dedup", "dense-buckets", media_label(corpus, policy))
    if not (policy.dedup.exact and folder.exists(STAGE_FILE)):
        return {}
    return {
        m.unit.removeprefix("dense-"): {
            k: int(m.stats[k]) for k in ("dense", "not_compared", "pairs")
        }
        for m in manifests(folder)
        if m.stats["dense"]
    }


def _contamination(
    run: Run, work: Folder, corpus: str, policy: Policy, measured: Folder, corpus_input: DedupInput
) -> Folder | None:
    """Search for benchmarks in the corpus; None where there is nothing to search for."""
    rules = policy.decontaminate
    against = decontaminate.benchmarks(run.workspace, corpus, run.against)
    if not rules.enabled or not (against or rules.heldout == "image"):
        return None
    index = clusters = None
    if against:
        index = work.child("benchmarks", corpus)
        units = decontaminate.index_units(run.workspace, against, rules)
        run.stage(decontaminate.BENCHMARKS, units, index)
    if against.corpora and rules.images:
        others = MediaTables(urls=tuple(run.workspace.measured(c).url for c in against.corpora))
        label, mine = media_label(f"{corpus}-benchmarks", policy), MediaTables(urls=(measured.url,))
        clusters = media_clusters(run, label, mine, policy, against=others)
    elif rules.heldout == "image":  # of this corpus's own media, which "exact" compared already
        mine = MediaTables(urls=(measured.url,))
        clusters = media_clusters(run, media_label(corpus, policy), mine, policy)
    folder = work.child("contamination", corpus)
    run.stage(
        decontaminate.STAGE,
        decontaminate.units(
            run.workspace, measured, corpus_input, against, rules, index=index, clusters=clusters
        ),
        folder,
    )
    return folder


def texts_of(filtered: Folder) -> int:
    """Return how many surviving samples of a filtered corpus are text alone."""
    return sum(int(m.stats["texts"]) for m in manifests(filtered))


def _removals(
    run: Run,
    work: Folder,
    corpus: str,
    policy: Policy,
    measured: Folder,
    filtered: Folder,
    step: Summary,
) -> list[Folder]:
    """Find what leaves the corpus beside what the rules drop; the first folder decides."""
    found: list[Folder] = []
    corpus_input = DedupInput(corpus=corpus, rank=0, filtered=filtered.url)
    if policy.dedup.exact:
        media = MediaTables(urls=(measured.url,))
        clusters = media_clusters(run, media_label(corpus, policy), media, policy)
        folder = work.child("exact", corpus)
        partitions = exact.units(
            [corpus_input],
            step.accounting.samples,
            clusters=clusters,
            same_image=policy.dedup.same_image,
        )
        run.stage(exact.STAGE, partitions, folder)
        found.append(folder)
    if policy.dedup.text.enabled and texts_of(filtered):
        corpus_input = replace(corpus_input, removed=tuple(f.url for f in found))
        found.append(
            near_duplicates.find(run.stage, work, corpus, [corpus_input], policy.dedup.text)
        )
    corpus_input = replace(corpus_input, removed=tuple(f.url for f in found))
    contaminated = _contamination(run, work, corpus, policy, measured, corpus_input)
    return [*found, contaminated] if contaminated else found


def apply_policy(
    corpus: str, policy: Policy, run: Run, *, folder: Folder, work: Folder | None = None
) -> Summary:
    """Curate a measured corpus into `folder`; opens no media but pairs that hashes propose.

    Args:
        corpus: a corpus with `measured/<corpus>`.
        policy: rules, duplicates, contamination.
        run: workspace and options.
        folder: where the curated parts go.
        work: where the steps before keep their files; default `dedup`.
    """
    measured = run.workspace.measured(corpus)
    record = stage_record(measured)
    work = work or run.workspace.child("dedup")
    filtered = work.child("filter", corpus)
    step = filtering.filter_corpus(
        run.workspace,
        corpus,
        policy,
        folder=filtered,
        options=run.options,
    )
    found = _removals(run, work, corpus, policy, measured, filtered, step)
    merged = None
    if policy.dedup.same_image == "merge":
        corpus_input = DedupInput(
            corpus=corpus, rank=0, filtered=filtered.url, removed=tuple(f.url for f in found)
        )
        merged = work.child("merge", corpus)
        parts = merge.units(measured, corpus_input, step.accounting.samples, policy.dedup.merge)
        run.stage(merge.STAGE, parts, merged)
        found.append(merged)
    steps = {f.path.rsplit("/", 2)[-2]: f for f in found}
    digests = {f"removals {name}": stage_record(f).digest for name, f in steps.items()}
    units = [
        Unit(
            name=name,
            inputs={"measured": digest, "filter": step.record.units[name]} | digests,
            params={},
            payload=Payload(
                measured=measured.url,
                filtered=filtered.url,
                removals=tuple(f.url for f in found),
                merged=merged.url if merged else "",
            ),
        )
        for name, digest in record.units.items()
    ]
    info = dict(record.info) | {"policy": policy.name, "policy_digest": policy.digest()}
    info |= {"steps": sorted(steps), "dense_buckets": _dense_buckets(run, corpus, policy)}
    return run.stage(STAGE, units, folder, info)
