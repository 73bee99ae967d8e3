"""The packing plan of a mixture: which rows of which shards form each sequence.

It is a folder, `sequences/<mixture>/<profile>-<tokens>`, and this module alone knows its files:
`plan.arrow` has one row a sequence; it is memory-mapped, so that reading any sequence takes the
same time however long the plan is. `dropped.parquet` lists the samples in no sequence. `plan.json`
is written last; it records what the plan was made from and marks it complete.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import xxhash

from smolmix.errors import IncompleteError, IntegrityError, UsageError
from smolmix.profiles import ChatProfile, PixelProfile, Profile
from smolmix.sample import Dropped
from smolmix.schema import dropped_table
from smolmix.storage import Folder, digest_file, digest_json
from smolmix.tokenize.shards.local import LocalCopies
from smolmix.workspace import Workspace

PLAN_VERSION = 2
_PLAN_FILE = "plan.arrow"
_RECORD_FILE = "plan.json"
_DROPPED_FILE = "dropped.parquet"
_ROWS = 1024  # sequences in a record batch
_AGAIN = "run `smolmix tokenize` again"

_DOCUMENT = pa.struct(
    [
        ("sample", pa.int64()),  # index into the mixture's selection
        ("corpus", pa.int16()),  # index into the record's `corpora`
        ("modality", pa.int8()),  # index into the record's `modalities`
        ("ids_shard", pa.int32()),  # index into the record's `ids_shards`
        ("ids_row", pa.int32()),
        ("start", pa.int32()),  # tokens [start, stop) of the sample
        ("stop", pa.int32()),
        ("tile_shards", pa.list_(pa.int32())),  # for each medium: index into `tile_shards`
        ("tile_rows", pa.list_(pa.int32())),
    ]
)
PLAN_SCHEMA = pa.schema(
    [
        ("tokens", pa.int32()),
        ("tiles", pa.int32()),
        ("documents", pa.list_(_DOCUMENT)),
    ]
)


def sequences_folder(
    workspace: Workspace, mixture: str, profile: Profile, budget_tokens: int
) -> Folder:
    """Return the folder of a mixture's packing plan: `sequences/<mixture>/<profile>-<tokens>`."""
    return workspace.child("sequences", mixture, f"{profile.name}-{budget_tokens}")


def is_plan(folder: Folder) -> bool:
    """Return whether the folder holds a complete packing plan."""
    return folder.exists(_RECORD_FILE)


def plans(workspace: Workspace, mixture: str) -> list[Folder]:
    """Return the folders of a mixture's complete packing plans, in order of name."""
    root = workspace.child("sequences", mixture)
    if not root.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in root.fs.ls(root.path, detail=False))
    return [root.child(n) for n in names if is_plan(root.child(n))]


def sequence_sizes(folder: Folder) -> pa.Table:
    """Return `tokens` and `tiles` (int32) of every sequence of the plan in this folder."""
    with folder.open(_PLAN_FILE) as stream:
        return pa.ipc.open_file(stream.read()).read_all().select(["tokens", "tiles"])


def withdraw_if_damaged(folder: Folder, record: "PackingRecord") -> str:
    """Return what is wrong with `plan.arrow`, or an empty string.

    A damaged plan is no longer complete: its record is removed, and `smolmix tokenize` packs again.
    """
    if folder.exists(_PLAN_FILE):
        with folder.open(_PLAN_FILE) as stream:
            if digest_file(stream) == record.plan_digest:
                return ""
    folder.remove(_RECORD_FILE)
    return f"{folder.at(_PLAN_FILE)}: missing or changed, so the plan was withdrawn; {_AGAIN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedDocument:
    """A range of one sample's tokens in a sequence, and the shard rows that hold it."""

    sample: int
    corpus: int
    modality: int
    ids_shard: int
    ids_row: int
    start: int
    stop: int
    tile_shards: tuple[int, ...]
    tile_rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingRecord:
    """`plan.json`: what a plan was made from, and its totals."""

    version: int
    mixture: str
    lock_digest: str
    vocabulary: str
    pixel: dict[str, Any]
    chat: dict[str, Any]
    budget_tokens: int
    budget_tiles: int
    window: int
    seed: int
    sequences: int
    documents: int
    tokens: int
    supervised_tokens: int
    tiles: int
    fill: float
    tiles_p50: int
    tiles_p99: int
    dropped: dict[str, int]  # reason -> samples
    corpora: tuple[str, ...]
    modalities: tuple[str, ...]
    ids_shards: tuple[str, ...]  # paths below the workspace
    tile_shards: tuple[str, ...]
    plan_digest: str  # xxh3_128 of plan.arrow
    packing_digest: str  # of which tokens of which samples are in which sequence

    @property
    def profile(self) -> Profile:
        """The profile that the sequences were made with."""
        chat = dict(self.chat)
        chat["system_prompts"] = tuple(tuple(p) for p in chat["system_prompts"])
        return Profile(pixel=PixelProfile(**self.pixel), chat=ChatProfile(**chat))

    @property
    def digest(self) -> str:
        """Identity of the sequences' content, which checkpoints record.

        Shard names are not part of it: the same content may be cached in other shards.
        """
        held = [self.packing_digest, self.lock_digest, self.vocabulary, self.pixel, self.chat]
        return digest_json(held)

    @classmethod
    def read(cls, folder: Folder) -> Self:
        """Return the record of the plan in a folder.

        Raises:
            IncompleteError: the folder holds no complete plan.
            UsageError: another version of smolmix wrote it.
        """
        if not is_plan(folder):
            raise IncompleteError(
                f"{folder.url}: no {_RECORD_FILE}; run `smolmix tokenize` first{folder.instead()}"
            )
        value = folder.read_json(_RECORD_FILE)
        if value.get("version") != PLAN_VERSION:
            raise UsageError(
                f"{folder.url}: plan version {value.get('version')}; this smolmix reads version "
                f"{PLAN_VERSION}; {_AGAIN}"
            )
        for name in ("corpora", "modalities", "ids_shards", "tile_shards"):
            value[name] = tuple(value[name])
        return cls(**value)


def packing_digest(sequences: Sequence[Sequence[PackedDocument]]) -> str:
    """Return the digest of which tokens of which samples are in which sequence, in order.

    Args:
        sequences: the documents of each sequence.
    """
    state = xxhash.xxh3_128()
    for documents in sequences:
        rows = [(d.sample, d.start, d.stop) for d in documents]
        state.update(np.array([(len(rows), 0, 0), *rows], dtype="<i8").tobytes())
    return state.hexdigest()


def write_plan(
    folder: Folder,
    sequences: Sequence[Sequence[PackedDocument]],
    tiles: Sequence[int],
    dropped: Sequence[Dropped],
    record: PackingRecord,
) -> PackingRecord:
    """Write a plan, its record last; return the record with the digests of the plan.

    Args:
        folder: see `sequences_folder`.
        sequences: the documents of each sequence.
        tiles: number of tiles of each sequence.
        dropped: the mixture's samples that are in no sequence.
        record: everything but `plan_digest` and `packing_digest`, which are filled in here.
    """
    folder.remove(_RECORD_FILE)
    with tempfile.TemporaryDirectory() as scratch:
        path, table = Path(scratch) / _PLAN_FILE, Path(scratch) / _DROPPED_FILE
        digest = _write_sequences(path, sequences, tiles)
        pl.DataFrame(dropped_table(dropped)).write_parquet(table)
        folder.put(path, _PLAN_FILE)
        folder.put(table, _DROPPED_FILE)
    record = replace(record, plan_digest=digest, packing_digest=packing_digest(sequences))
    folder.write_json(_RECORD_FILE, json.loads(json.dumps(asdict(record))))
    return PackingRecord.read(folder)


def _write_sequences(
    path: Path, sequences: Sequence[Sequence[PackedDocument]], tiles: Sequence[int]
) -> str:
    """Write `plan.arrow`; return its digest."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, PLAN_SCHEMA) as writer:
        for start in range(0, len(sequences), _ROWS):
            rows = [
                {
                    "tokens": sum(d.stop - d.start for d in documents),
                    "tiles": count,
                    "documents": [asdict(d) for d in documents],
                }
                for documents, count in zip(
                    sequences[start : start + _ROWS], tiles[start : start + _ROWS], strict=True
                )
            ]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=PLAN_SCHEMA))
    with open(path, "rb") as stream:
        return digest_file(stream)


class PackingPlan:
    """Random access to the sequences of a plan."""

    def __init__(self, path: Path, record: PackingRecord):
        """Map a local copy of `plan.arrow`.

        Raises:
            IntegrityError: the file is missing, cut short, or not the one that `record` describes.
        """
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        except FileNotFoundError as error:
            raise IntegrityError(f"{path}: missing; {_AGAIN}") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise IntegrityError(f"{path}: damaged ({error}); {_AGAIN}") from error
        with open(path, "rb") as stream:
            if digest_file(stream) != record.plan_digest:
                raise IntegrityError(f"{path}: its bytes are not what was written; {_AGAIN}")
        self.record = record

    @classmethod
    def open(
        cls, copies: LocalCopies, workspace: Folder, folder: Folder, record: PackingRecord
    ) -> Self:
        """Return the plan in `folder`, mapped from a local copy if the workspace is remote.

        Raises:
            IntegrityError: the file is missing, damaged, or not the one that `record` describes.
        """
        below = folder.path[len(workspace.path) :].strip("/")
        path = copies.path(f"{below}/{_PLAN_FILE}", version=record.plan_digest)
        return cls(path, record)

    def __len__(self) -> int:
        return self.record.sequences

    def _row(self, index: int) -> tuple[pa.RecordBatch, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index}; the plan has {len(self)}")
        return self._file.get_batch(index // _ROWS), index % _ROWS

    def documents(self, index: int) -> tuple[PackedDocument, ...]:
        """Return the documents of a sequence, in order."""
        batch, row = self._row(index)
        out = []
        for value in batch["documents"][row].as_py():
            value["tile_shards"] = tuple(value["tile_shards"])
            value["tile_rows"] = tuple(value["tile_rows"])
            out.append(PackedDocument(**value))
        return tuple(out)

    def __iter__(self) -> Iterator[tuple[PackedDocument, ...]]:
        return (self.documents(i) for i in range(len(self)))
