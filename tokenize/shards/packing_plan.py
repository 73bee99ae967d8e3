"""The packing plan on disk: which rows of which shards form each sequence.

`plan.arrow` has one row a sequence and is memory-mapped, so opening it, and going to any
sequence of it, takes the same time however long it is. `plan.json` says what it was made from.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import xxhash

from smolmix.errors import IncompleteError, IntegrityError, UsageError
from smolmix.profiles import ChatProfile, PixelProfile, Profile
from smolmix.storage import Folder, digest_file, digest_json
from smolmix.workspace import Workspace

PLAN_VERSION = 2
PLAN_FILE = "plan.arrow"
RECORD_FILE = "plan.json"
DROPPED_FILE = "dropped.parquet"
_ROWS = 1024

_DOCUMENT = pa.struct(
    [
        ("sample", pa.int64()),  # index into the mixture's picks
        ("corpus", pa.int16()),  # index into the record's `corpora`
        ("modality", pa.int8()),  # index into the record's `modalities`
        ("ids_shard", pa.int32()),  # index into the record's `ids_shards`
        ("ids_row", pa.int32()),
        ("start", pa.int32()),  # tokens [start, stop) of the sample
        ("stop", pa.int32()),
        ("tile_shards", pa.list_(pa.int32())),  # one a medium: index into `tile_shards`
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
    """Return where the packing plan of a mixture lies."""
    return workspace.child("sequences", mixture, f"{profile.name}-{budget_tokens}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedDocument:
    """A stretch of one sample in a sequence, and where its rows lie."""

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
    """`plan.json`: what a plan was made from, and what it came to."""

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
        """The profile the sequences were made with."""
        chat = dict(self.chat)
        chat["system_prompts"] = tuple(tuple(p) for p in chat["system_prompts"])
        return Profile(pixel=PixelProfile(**self.pixel), chat=ChatProfile(**chat))

    @property
    def digest(self) -> str:
        """Identity of the sequences, for checkpoints to remember.

        Of what they hold, not of where it lies: other mixtures may add shards to the caches.
        """
        held = [self.packing_digest, self.lock_digest, self.vocabulary, self.pixel, self.chat]
        return digest_json(held)

    @classmethod
    def read(cls, folder: Folder) -> Self:
        """Read a plan's record.

        Raises:
            IncompleteError: there is none.
        """
        if not folder.exists(RECORD_FILE):
            raise IncompleteError(
                f"{folder.url}: no {RECORD_FILE}; run `smolmix tokenize` first{folder.instead()}"
            )
        value = folder.read_json(RECORD_FILE)
        if value.get("version") != PLAN_VERSION:
            raise UsageError(
                f"{folder.url}: plan version {value.get('version')}; this smolmix reads "
                f"{PLAN_VERSION}; run `smolmix tokenize` again"
            )
        for name in ("corpora", "modalities", "ids_shards", "tile_shards"):
            value[name] = tuple(value[name])
        return cls(**value)

    def write(self, folder: Folder) -> None:
        """Write the record; last, since it is what makes the plan whole."""
        folder.write_json(RECORD_FILE, json.loads(json.dumps(asdict(self))))


def packing_digest(sequences: Sequence[Sequence[PackedDocument]]) -> str:
    """Return the digest of which tokens of which samples are in which sequence, in order."""
    state = xxhash.xxh3_128()
    for documents in sequences:
        rows = [(d.sample, d.start, d.stop) for d in documents]
        state.update(np.array([(len(rows), 0, 0), *rows], dtype="<i8").tobytes())
    return state.hexdigest()


def write_plan(
    path: Path, sequences: Sequence[Sequence[PackedDocument]], tiles: Sequence[int]
) -> str:
    """Write `plan.arrow`; return its digest.

    Args:
        path: of the file.
        sequences: documents of each.
        tiles: tiles of each sequence.
    """
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
        """Map `plan.arrow`.

        Raises:
            IntegrityError: it is missing, cut short, or not the file the record was written for.
        """
        again = "run `smolmix tokenize` again"
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        except FileNotFoundError as error:
            raise IntegrityError(f"{path}: missing; {again}") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise IntegrityError(f"{path}: damaged ({error}); {again}") from error
        with open(path, "rb") as stream:
            if digest_file(stream) != record.plan_digest:
                raise IntegrityError(f"{path}: its bytes are not what was written; {again}")
        self.record = record

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

    def tiles(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """Return the tiles of every sequence."""
        return np.concatenate(
            [self._file.get_batch(i)["tiles"].to_numpy() for i in range(self._batches)]
            or [np.empty(0, np.int32)]
        )

    @property
    def _batches(self) -> int:
        return int(self._file.num_record_batches)

    def __iter__(self) -> Iterator[tuple[PackedDocument, ...]]:
        return (self.documents(i) for i in range(len(self)))
