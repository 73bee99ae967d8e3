"""Shards: Arrow IPC files of token ids or of tiles, with a checksum for each row.

They are memory-mapped; pyarrow, polars, `datasets` and DuckDB read them too. `Shard.row` verifies
each row that it reads: a flipped byte is an error that names the file and the row, and never
becomes a token or a pixel.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from smolmix.errors import IntegrityError

SHARD_VERSION = 1
_BATCH_BYTES = 4 << 20
_BATCH_ROWS = 256
_REPAIR = "run `smolmix verify` on its folder, then `smolmix tokenize` again"

_N = TypeVar("_N", bound=np.generic)

Columns = Mapping[str, pa.Array]  # of one record batch

IDS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("digest", pa.string()),  # of the sample's roles, texts and media
        ("input_ids", pa.list_(pa.uint16())),
        ("loss_spans", pa.list_(pa.int32())),  # start, stop, start, stop, ...
        ("media", pa.list_(pa.string())),  # digests, in the order of their blocks
        ("tiles", pa.list_(pa.int32())),  # number of tiles of each
        ("checksum", pa.uint64()),
    ]
)
TILES_SCHEMA = pa.schema(
    [
        ("digest", pa.string()),  # of the medium's bytes
        ("kind", pa.string()),  # image | video | frames
        ("rows", pa.int16()),
        ("cols", pa.int16()),
        ("tiles", pa.int32()),
        ("codec", pa.string()),
        ("blobs", pa.list_(pa.binary())),
        ("checksum", pa.uint64()),
    ]
)


def _view(values: pa.Array, dtype: type[_N]) -> NDArray[_N]:
    """Return (len(values),): a view of the file. `to_numpy` would import pandas: half a second."""
    if not len(values):
        return np.empty(0, dtype)
    start = values.offset * np.dtype(dtype).itemsize
    return np.frombuffer(values.buffers()[1], dtype, len(values), start)


class ShardRow(Protocol):
    """A row of a shard: an `IdsRow` or a `TilesRow`."""

    @property
    def nbytes(self) -> int:
        """Bytes of the content, by which record batches are sized."""

    def checksum(self) -> int:
        """Return the xxh3_64 of all fields."""

    def to_row(self) -> dict[str, Any]:
        """Return the row in the shard's schema."""

    @classmethod
    def from_batch(cls, batch: Columns, row: int) -> Self:
        """Return a row of a record batch."""


R = TypeVar("R", bound=ShardRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdsRow:
    """The token ids of one sample."""

    id: str
    digest: str  # of the sample
    input_ids: NDArray[np.uint16]  # (tokens,)
    spans: tuple[tuple[int, int], ...]  # supervised [start, stop)
    media: tuple[str, ...]  # digests, in the order of their blocks
    tiles: tuple[int, ...]  # number of tiles of each

    def checksum(self) -> int:
        """Return the xxh3_64 of all fields."""
        state = xxhash.xxh3_64()
        state.update(self.id.encode())
        state.update(self.digest.encode())
        state.update(np.ascontiguousarray(self.input_ids).tobytes())
        state.update(np.array(self.spans, np.int32).tobytes())
        state.update("\n".join(self.media).encode())
        state.update(np.array(self.tiles, np.int32).tobytes())
        return int(state.intdigest())

    def to_row(self) -> dict[str, Any]:
        """Return the row of `IDS_SCHEMA`."""
        return {
            "id": self.id,
            "digest": self.digest,
            "input_ids": self.input_ids,
            "loss_spans": [edge for span in self.spans for edge in span],
            "media": list(self.media),
            "tiles": list(self.tiles),
            "checksum": self.checksum(),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of the ids."""
        return int(self.input_ids.nbytes)

    @classmethod
    def from_batch(cls, batch: Columns, row: int) -> Self:
        """Return a row of a record batch; its ids are a view of the file."""
        spans = _view(batch["loss_spans"][row].values, np.int32)
        return cls(
            id=batch["id"][row].as_py(),
            digest=batch["digest"][row].as_py(),
            input_ids=_view(batch["input_ids"][row].values, np.uint16),
            spans=tuple((int(a), int(b)) for a, b in spans.reshape(-1, 2)),
            media=tuple(batch["media"][row].as_py()),
            tiles=tuple(batch["tiles"][row].as_py()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesRow:
    """The tiles of one medium, as stored."""

    digest: str  # of the medium's bytes
    kind: str  # image | video | frames
    rows: int  # of the grid of sub-images; 0 for a clip or an image that is not split
    cols: int
    tiles: int
    codec: str
    blobs: tuple[bytes | memoryview, ...]  # one a tile, or one for all of them

    def checksum(self) -> int:
        """Return the xxh3_64 of all fields."""
        state = xxhash.xxh3_64()
        head = f"{self.digest} {self.kind} {self.rows} {self.cols} {self.tiles} {self.codec}"
        state.update(head.encode())
        for blob in self.blobs:
            state.update(len(blob).to_bytes(8, "little"))
            state.update(blob)
        return int(state.intdigest())

    def to_row(self) -> dict[str, Any]:
        """Return the row of `TILES_SCHEMA`."""
        return {
            "digest": self.digest,
            "kind": self.kind,
            "rows": self.rows,
            "cols": self.cols,
            "tiles": self.tiles,
            "codec": self.codec,
            "blobs": list(self.blobs),
            "checksum": self.checksum(),
        }

    @property
    def nbytes(self) -> int:
        """Bytes of the blobs."""
        return sum(map(len, self.blobs))

    @classmethod
    def from_batch(cls, batch: Columns, row: int) -> Self:
        """Return a row of a record batch; its blobs are views of the file."""
        return cls(
            digest=batch["digest"][row].as_py(),
            kind=batch["kind"][row].as_py(),
            rows=batch["rows"][row].as_py(),
            cols=batch["cols"][row].as_py(),
            tiles=batch["tiles"][row].as_py(),
            codec=batch["codec"][row].as_py(),
            blobs=tuple(memoryview(b.as_buffer()) for b in batch["blobs"][row].values),
        )


def write(path: Path, rows: Iterable[ShardRow], schema: pa.Schema, info: Mapping[str, str]) -> int:
    """Write a shard in record batches of a few megabytes; return the number of its rows.

    Args:
        path: of the new file.
        rows: of the kind that `schema` describes.
        schema: `IDS_SCHEMA` or `TILES_SCHEMA`.
        info: for readers; written to the file's metadata as `smolmix.<key>`.
    """
    metadata = {f"smolmix.{k}": v for k, v in {**info, "shard_version": str(SHARD_VERSION)}.items()}
    schema = schema.with_metadata(metadata)
    total = size = 0
    waiting: list[dict[str, Any]] = []
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:

        def flush() -> None:
            if waiting:
                writer.write_batch(pa.RecordBatch.from_pylist(waiting, schema=schema))
                waiting.clear()

        for row in rows:
            waiting.append(row.to_row())
            size += row.nbytes
            total += 1
            if size >= _BATCH_BYTES or len(waiting) >= _BATCH_ROWS:
                flush()
                size = 0
        flush()
    return total


class Shard(Generic[R]):
    """Random access to the rows of one shard; each row is verified when it is read."""

    def __init__(self, path: Path, kind: type[R], *, where: str = ""):
        """Map the file.

        Args:
            path: on a local disk.
            kind: class of its rows.
            where: its name in errors; default: its path.

        Raises:
            IntegrityError: the file is missing, cut short, not a shard, or of another version.
        """
        self._where = where or str(path)
        self._kind = kind
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        except FileNotFoundError as error:
            raise IntegrityError(f"{self._where}: missing; {_REPAIR}") from error
        except (pa.ArrowInvalid, OSError) as error:
            raise IntegrityError(f"{self._where}: damaged ({error}); {_REPAIR}") from error
        metadata = self._file.schema.metadata or {}
        self.info = {k.decode()[8:]: v.decode() for k, v in metadata.items()}
        if self.info.get("shard_version") != str(SHARD_VERSION):
            raise IntegrityError(
                f"{self._where}: shard version {self.info.get('shard_version')}; this smolmix "
                f"reads version {SHARD_VERSION}; delete the file and run `smolmix tokenize` again"
            )
        self._starts = np.cumsum([0, *(b.num_rows for b in batches)])
        # By name once: a batch would look its columns up again for every row.
        names = self._file.schema.names
        self._batches: list[Columns] = [dict(zip(names, b.columns, strict=True)) for b in batches]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def row(self, index: int) -> R:
        """Return a row.

        Raises:
            IntegrityError: the shard has no such row, or its bytes are not what was written.
        """
        if not 0 <= index < len(self):
            raise IntegrityError(f"{self._where}: no row {index}; it has {len(self)}; {_REPAIR}")
        batch = int(np.searchsorted(self._starts, index, side="right")) - 1
        place = index - int(self._starts[batch])
        try:
            row = self._kind.from_batch(self._batches[batch], place)
            found, wanted = row.checksum(), self._batches[batch]["checksum"][place].as_py()
        except (pa.ArrowInvalid, ValueError, IndexError, OverflowError) as error:
            raise IntegrityError(
                f"{self._where}: row {index} cannot be read ({error}); {_REPAIR}"
            ) from error
        if found != wanted:
            raise IntegrityError(
                f"{self._where}: row {index} has checksum {found:016x}, written as {wanted:016x}; "
                f"{_REPAIR}"
            )
        return row
