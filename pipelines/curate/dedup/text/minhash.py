"""MinHash signatures of texts: each band a column, so one band of a million is read alone.

Signatures by `rensa` (Rust): `benchmarks/curate` compares it with datatrove's, which finds the
same pairs at a fiftieth of the speed.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rensa import RMinHash

from smolmix.pipelines.curate.dedup.text.shingles import Words
from smolmix.pipelines.curate.settings import TextDedup
from smolmix.sample import Sample

SUFFIX = ".minhash.parquet"
_SEED = 42
_PACKED = {name: "zstd" for name in ("row", "id", "chars")}  # the rest is noise: nothing packs it


def signatures(texts: Words, settings: TextDedup) -> NDArray[np.uint32]:
    """Return (texts, bands · rows) signatures of texts."""
    runs = texts.shingles(settings.shingle_words)
    width = settings.bands * settings.rows
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        runs.hashes, runs.offsets.astype(np.uint64), width, _SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(-1, width)


def band_keys(signature: NDArray[np.uint32], settings: TextDedup) -> NDArray[np.uint64]:
    """Return (texts, bands) keys: equal where all of a band's hashes are."""
    parts = signature.reshape(len(signature), settings.bands, settings.rows).astype(np.uint64)
    keys = np.full(parts.shape[:2], 0xCBF29CE484222325, dtype=np.uint64)
    for column in range(settings.rows):
        keys = (keys ^ parts[:, :, column]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def schema(settings: TextDedup) -> pa.Schema:
    """Return the columns of a signature file."""
    return pa.schema(
        [
            ("row", pa.int64()),
            ("id", pa.string()),
            ("chars", pa.int64()),
            ("numbers", pa.uint64()),
            *((f"band{i:02d}", pa.uint64()) for i in range(settings.bands)),
            ("signature", pa.binary(4 * settings.bands * settings.rows)),
        ]
    )


class Writer:
    """Writes the signatures of a part's texts; no file where they are not enabled."""

    def __init__(self, path: Path, settings: TextDedup):
        """Open `path` unless near duplicates of texts are not enabled."""
        self._settings = settings
        self.count = 0
        self._schema = schema(settings)
        self._file = (
            pq.ParquetWriter(path, self._schema, compression=_PACKED, use_dictionary=False)
            if settings.enabled
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, samples: Sequence[tuple[int, Sample]]) -> None:
        """Add the (row, sample) pairs."""
        if self._file is None or not samples:
            return
        self.count += len(samples)
        said = Words.of(["\n".join(t.text for t in s.turns) for _, s in samples])
        signature = signatures(said, self._settings)
        keys = band_keys(signature, self._settings)
        columns = [
            pa.array([row for row, _ in samples], pa.int64()),
            pa.array([s.id for _, s in samples], pa.string()),
            pa.array([s.text_chars for _, s in samples], pa.int64()),
            pa.array(said.numbers()),
            *(pa.array(keys[:, i]) for i in range(self._settings.bands)),
            pa.FixedSizeBinaryArray.from_buffers(
                self._schema.field("signature").type, len(samples), [None, pa.py_buffer(signature)]
            ),
        ]
        self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
