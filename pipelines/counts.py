"""What every curated sample costs under a profile: tokens, tiles, frames. No media is opened.

One table a curated part, row for row with it. Mixtures are solved on these numbers, and
tokenization produces exactly them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.engine import Result, Stage, Unit, UnitContext, run_stage
from smolmix.profiles import Profile
from smolmix.sample import SAMPLE_SCHEMA, Tally, from_table
from smolmix.storage import Workspace, stage_record
from smolmix.tokenize import chat, tokenizer

_BATCH = 512

COUNTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text_tokens", pa.int64()),  # of the rendered chat, visual blocks left out
        ("visual_tokens", pa.int64()),
        ("supervised_tokens", pa.int64()),
        ("tokens", pa.int64()),  # the exact length of input_ids
        ("tiles", pa.int32()),
        ("frames", pa.int32()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload:
    workspace: str
    corpus: str
    profile: Profile


def _run(unit: Unit, context: UnitContext) -> Result:
    payload = unit.payload
    assert isinstance(payload, _Payload)
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
            counts = list(chat.count(samples, payload.profile, vocabulary))
            table = _table([s.id for s in samples], counts)
            writer.write_table(table)
            rows += len(samples)
            tokens += sum(c.tokens for c in counts)
            tiles += sum(c.tiles for c in counts)
    tally = Tally(samples=rows, kept=rows)
    return Result(tally=tally, stats={"tokens": tokens, "tiles": tiles})


def _table(ids: Sequence[str], counts: Sequence[chat.Count]) -> pa.Table:
    columns: dict[str, list[int] | list[str]] = {"id": list(ids)}
    for name in COUNTS_SCHEMA.names[1:]:
        columns[name] = [int(getattr(c, name)) for c in counts]
    return pa.table(columns, schema=COUNTS_SCHEMA)


STAGE = Stage(name="counts", version=1, run=_run)


def ensure_counts(
    workspace: Workspace,
    corpora: Iterable[str],
    profile: Profile,
    workers: int,
    ray_address: str | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Write the counts of these curated corpora that are missing or out of date.

    Args:
        workspace: holds `curated/<corpus>`; gets `counts/<profile>/<corpus>`.
        corpora: names.
        profile: preset and chat style.
        workers: Ray workers; 0 runs in this process.
        ray_address: a cluster to join.
        quiet: no progress.

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
            workers=workers,
            ray_address=ray_address,
            info={"corpus": corpus, "profile": asdict(profile), "vocabulary": vocabulary.digest},
            quiet=quiet,
        )
