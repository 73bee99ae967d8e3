"""Counts of curated samples: tokens, tiles and frames under a profile. No medium is opened.

`counts/<profile>/<corpus>` has a table for each curated part, row for row with it, in
`COUNTS_SCHEMA`. Mixtures are solved on these numbers, and tokenizing a sample yields exactly them.
Media that are not fetched add nothing to these counts and are counted in columns of their own; a
mixture's spec sets their assumed cost.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import structs

from smolmix import cost, curated
from smolmix.accounting import RowAccounting
from smolmix.counted import COUNTS_SCHEMA, counts_file
from smolmix.engine.run import run_stage
from smolmix.engine.stage import IN_THIS_PROCESS, Result, RunOptions, Stage, Unit, UnitContext
from smolmix.profiles import Profile
from smolmix.sample import Sample
from smolmix.schema import COUNT_COLUMNS, from_table
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.workspace import Workspace, stage_record

_BATCH = 512
_STAND_IN_PX = 512  # edge of a stand-in; its cost is subtracted again


@dataclass(frozen=True, slots=True, kw_only=True)
class CountInput:
    """The corpus whose part a unit counts; the part is the unit's name."""

    workspace: str
    corpus: str
    profile: Profile


def _count(unit: Unit[CountInput], context: UnitContext) -> Result:
    payload = unit.payload
    vocabulary = tokenizer.load(payload.profile.chat.tokenizer)
    folder = Workspace(payload.workspace).curated(payload.corpus)
    rows = tokens = tiles = 0
    path = context.out / counts_file(unit.name)
    with pq.ParquetWriter(path, COUNTS_SCHEMA, compression="zstd") as writer:
        for batch in curated.read_batches(folder, unit.name, rows=_BATCH):
            samples = list(from_table(batch))
            shown = [_with_stand_ins(s) for s in samples]
            counts = [
                _without_stand_ins(s, c, payload.profile)
                for s, c in zip(
                    shown, encode.count(shown, payload.profile, vocabulary), strict=True
                )
            ]
            writer.write_table(_table(samples, counts))
            rows += len(samples)
            tokens += sum(c.tokens for c in counts)
            tiles += sum(c.tiles for c in counts)
    accounting = RowAccounting(samples=rows, kept=rows)
    return Result(accounting=accounting, stats={"tokens": tokens, "tiles": tiles})


def _table(samples: Sequence[Sample], counts: Sequence[encode.Count]) -> pa.Table:
    columns: dict[str, list[int] | list[str]] = {"id": [s.id for s in samples]}
    for name in COUNT_COLUMNS:
        columns[name] = [int(getattr(c, name)) for c in counts]
    not_fetched = [[m for m in s.media if m.names] for s in samples]
    columns["unfetched_images"] = [sum(m.kind == "image" for m in media) for media in not_fetched]
    columns["unfetched_clips"] = [sum(m.kind != "image" for m in media) for media in not_fetched]
    return pa.table(columns, schema=COUNTS_SCHEMA)


def _with_stand_ins(sample: Sample) -> Sample:
    """Return the sample with an image, or a clip of one frame, for each medium not fetched."""
    if not any(m.names for m in sample.media):
        return sample
    media = [
        structs.replace(
            m, width=_STAND_IN_PX, height=_STAND_IN_PX, frames=1, fps=1.0, duration_s=1.0
        )
        if m.names
        else m
        for m in sample.media
    ]
    return structs.replace(sample, media=tuple(media))


def _without_stand_ins(sample: Sample, count: encode.Count, profile: Profile) -> encode.Count:
    """Return the count of a sample less the cost of its stand-ins."""
    not_fetched = [m for m in sample.media if m.names]
    if not not_fetched:
        return count
    average = profile.chat.frame_average
    visual = cost.visual_tokens(not_fetched, profile.pixel, frame_average=average)
    return replace(
        count,
        tokens=count.tokens - visual,
        visual_tokens=count.visual_tokens - visual,
        tiles=count.tiles - cost.media_tiles(not_fetched, profile.pixel),
        frames=count.frames - sum(m.kind != "image" for m in not_fetched),
    )


STAGE = Stage(name="counts", version=2, run=_count)


def ensure_counts(
    workspace: Workspace,
    corpora: Iterable[str],
    profile: Profile,
    options: RunOptions = IN_THIS_PROCESS,
) -> None:
    """Write the counts of curated corpora that are missing or out of date.

    Args:
        workspace: holds `curated/<corpus>`; gets `counts/<profile>/<corpus>`.
        corpora: their names.
        profile: preset and chat style.
        options: workers, and how much is printed.

    Raises:
        IncompleteError: a corpus is not curated.
    """
    vocabulary = tokenizer.load(profile.chat.tokenizer)
    params = {"profile": asdict(profile), "vocabulary": vocabulary.digest}
    for corpus in corpora:
        curated = stage_record(workspace.curated(corpus))
        payload = CountInput(workspace=workspace.url, corpus=corpus, profile=profile)
        units = [
            Unit(name=name, inputs={"curated": digest}, params=params, payload=payload)
            for name, digest in curated.units.items()
        ]
        run_stage(
            STAGE,
            units,
            folder=workspace.counts(profile.name, corpus),
            options=options,
            info={"corpus": corpus, "profile": asdict(profile), "vocabulary": vocabulary.digest},
        )
