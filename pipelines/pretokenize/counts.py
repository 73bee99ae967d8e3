"""What every curated sample costs under a profile: tokens, tiles, frames. No media is opened.

One table a curated part, row for row with it. Mixtures are solved on these numbers, and
tokenization produces exactly them. Of a sample whose media are not fetched the text is counted, and
how many media are still to be reckoned; a mixture's spec says with what.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import structs

from smolmix import cost
from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import IN_THIS_PROCESS, Result, RunOptions, Stage, Unit, UnitContext
from smolmix.profiles import Profile
from smolmix.sample import Sample
from smolmix.schema import COUNT_COLUMNS, SAMPLE_SCHEMA, from_table
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.workspace import Workspace, stage_record

_BATCH = 512
_EDGE_PX = 512  # of a stand-in; what it costs is taken off again

COUNTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text_tokens", pa.int64()),  # of the rendered chat, visual blocks left out
        ("visual_tokens", pa.int64()),
        ("supervised_tokens", pa.int64()),
        ("tokens", pa.int64()),  # the exact length of input_ids
        ("tiles", pa.int32()),
        ("frames", pa.int32()),
        ("unfetched_images", pa.int32()),  # not fetched, and in none of the numbers above
        ("unfetched_clips", pa.int32()),  # so too, but for the text of one frame of each
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload:
    workspace: str
    corpus: str
    profile: Profile


def _run(unit: Unit[_Payload], context: UnitContext) -> Result:
    payload = unit.payload
    vocabulary = tokenizer.load(payload.profile.chat.tokenizer)
    source = Workspace(payload.workspace).curated(payload.corpus)
    rows = tokens = tiles = 0
    path = context.out / f"{unit.name}.parquet"
    with (
        source.open(f"{unit.name}.parquet") as stream,
        pq.ParquetWriter(path, COUNTS_SCHEMA, compression="zstd") as writer,
    ):
        for batch in pq.ParquetFile(stream).iter_batches(_BATCH):
            samples = list(from_table(pa.Table.from_batches([batch], schema=SAMPLE_SCHEMA)))
            counts = list(encode.count(list(map(_stand_in, samples)), payload.profile, vocabulary))
            counts = [_seen(s, c, payload.profile) for s, c in zip(samples, counts, strict=True)]
            table = _table(samples, counts)
            writer.write_table(table)
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


def _stand_in(sample: Sample) -> Sample:
    """Return the sample with an image or a clip of one frame for each medium not fetched."""
    if not any(m.names for m in sample.media):
        return sample
    media = [
        structs.replace(m, width=_EDGE_PX, height=_EDGE_PX, frames=1, fps=1.0, duration_s=1.0)
        if m.names
        else m
        for m in sample.media
    ]
    return structs.replace(sample, media=tuple(media))


def _seen(sample: Sample, count: encode.Count, profile: Profile) -> encode.Count:
    """Return the count without what stands in for media that are not fetched."""
    not_fetched = [m for m in _stand_in(sample).media if m.names]
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


STAGE = Stage(name="counts", version=2, run=_run)


def ensure_counts(
    workspace: Workspace,
    corpora: Iterable[str],
    profile: Profile,
    options: RunOptions = IN_THIS_PROCESS,
) -> None:
    """Write the counts of these curated corpora that are missing or out of date.

    Args:
        workspace: holds `curated/<corpus>`; gets `counts/<profile>/<corpus>`.
        corpora: names.
        profile: preset and chat style.
        options: workers, and how much is printed.

    Raises:
        IncompleteError: a corpus is not curated.
    """
    vocabulary = tokenizer.load(profile.chat.tokenizer)
    params = {"profile": asdict(profile), "vocabulary": vocabulary.digest}
    for corpus in corpora:
        curated = stage_record(workspace.curated(corpus))
        payload = _Payload(workspace=workspace.url, corpus=corpus, profile=profile)
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
