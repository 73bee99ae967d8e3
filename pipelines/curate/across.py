"""`smolmix curate --across`: duplicates across corpora, as removals of their own.

The Cauldron recurs inside LLaVA-OneVision, MAmmoTH-VL and FineVision, so shares mean little until
one copy is chosen. The kept copy is in the corpus that the policy's `priority` lists first;
unlisted corpora follow by id. No corpus is rewritten: a mixture of exactly these corpora leaves
the other copies out (`smolmix.removals`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import (
    IN_THIS_PROCESS,
    Result,
    RunOptions,
    Stage,
    Summary,
    Unit,
    UnitContext,
)
from smolmix.errors import UsageError
from smolmix.pipelines.curate.dedup import exact
from smolmix.pipelines.curate.dedup.inputs import DedupInput
from smolmix.pipelines.curate.dedup.media import confirm
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.dedup.text import near_duplicates
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.curate.steps import Steps
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCorpusInput:
    """Folders of removals to join."""

    folders: tuple[str, ...]


def _run(unit: Unit[CrossCorpusInput], context: UnitContext) -> Result:
    seen, tables, reasons = set[str](), [removals.SCHEMA.empty_table()], dict[str, int]()
    for folder in map(Folder, unit.payload.folders):
        rows = [r for r in removals.read(folder).to_pylist() if r["id"] not in seen]
        seen.update(r["id"] for r in rows)
        for row in rows:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
        tables.append(pa.Table.from_pylist(rows, schema=removals.SCHEMA))
    table = pa.concat_tables(tables).sort_by("id")
    removals.write_table(context.out / f"{unit.name}{removals.SUFFIX}", table)
    return Result(accounting=RowAccounting(), stats={"reasons": dict(sorted(reasons.items()))})


STAGE = Stage(name="removals", version=1, run=_run)


def by_priority(corpora: Sequence[str], policy: Policy) -> list[str]:
    """Return the corpora, the one that keeps its copies first."""
    listed = {name: i for i, name in enumerate(policy.dedup.priority)}
    return sorted(set(corpora), key=lambda c: (listed.get(c, len(listed)), c))


def _dedup_input(steps: Steps, corpus: str, rank: int) -> DedupInput:
    # Only the steps of the policy that the corpus was curated with: other policies' may exist.
    names = stage_record(steps.workspace.curated(corpus)).info["steps"]
    return DedupInput(
        corpus=corpus,
        rank=rank,
        filtered=steps.folder("filter", corpus).url,
        removed=tuple(steps.folder(name, corpus).url for name in names),
        merged=steps.folder("merge", corpus).url if "merge" in names else "",
    )


def across(
    corpora: Sequence[str],
    policy: Policy,
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
) -> Summary:
    """Find the samples that two or more curated corpora share, and write which copies are removed.

    Raises:
        UsageError: fewer than two corpora.
        IncompleteError: one of them is not curated.
    """
    names = by_priority(corpora, policy)
    if len(names) < 2:
        raise UsageError(f"--across: {len(names)} corpus; name two or more that are curated")
    curated = {n: stage_record(workspace.curated(n)) for n in sorted(names)}
    steps = Steps(workspace=workspace, options=options.for_steps())
    inputs = [_dedup_input(steps, name, rank) for rank, name in enumerate(names)]
    folder = removals.set_folder(workspace, names)
    name = f"across-{folder.name}"
    media = MediaTables(urls=tuple(workspace.measured(n).url for n in names))
    found = [
        exact.find(
            steps,
            name,
            inputs,
            sum(record.accounting.kept for record in curated.values()),
            clusters=confirm.find(steps, name, media, policy.dedup),
            same_image=policy.dedup.same_image,
            across=True,
        )
    ]
    if policy.dedup.text.enabled and any(one.texts() for one in inputs):
        found.append(near_duplicates.find(steps, name, inputs, policy.dedup.text, across=True))
    unit = Unit(
        name="across-00000",
        inputs={f.path.rsplit("/", 2)[-2]: stage_record(f).digest for f in found},
        params={},
        payload=CrossCorpusInput(folders=tuple(f.url for f in found)),
    )
    info = {
        "corpora": sorted(names),
        "priority": names,
        "policy": policy.name,
        "curated": {n: record.digest for n, record in curated.items()},
    }
    return run_stage(STAGE, [unit], folder=folder, options=steps.options, info=info)
