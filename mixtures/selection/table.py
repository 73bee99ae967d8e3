"""`picks.parquet`: which samples, in which order, how often."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from smolmix.mixtures.candidates.pool import Pool
from smolmix.mixtures.candidates.strata import Sorted
from smolmix.mixtures.candidates.supply import Ints
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.storage import Folder

PICKS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.dictionary(pa.int32(), pa.string())),
        ("part", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int32()),
        ("repeat", pa.int32()),
    ]
)
_ROWS = 1 << 17


def write_picks(
    folder: Folder, name: str, pool: Pool, ordered: Sorted, stratum: Ints, within: Ints
) -> str:
    """Write the picks in the mixture's order; return the digest of their content.

    Args:
        folder: the mixture's folder.
        name: the file to write.
        pool: the candidates.
        ordered: the candidates by stratum and hash.
        stratum: (draws,) each position's stratum.
        within: (draws,) which draw of its stratum stands there.
    """
    place = _Places(pool)
    size = np.diff(ordered.starts)
    state = xxhash.xxh3_128()
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, name)
        with pq.ParquetWriter(target, PICKS_SCHEMA, compression="zstd") as writer:
            for at in range(0, len(stratum), _ROWS):
                here, draw = stratum[at : at + _ROWS], within[at : at + _ROWS]
                rows = ordered.rows[ordered.starts[here] + draw % size[here]]
                repeat = (draw // size[here]).astype(np.int32)
                writer.write_table(place.table(rows, repeat))
                for column in (pool.hashes[rows], place.hashes(rows), pool.row[rows], repeat):
                    state.update(np.ascontiguousarray(column).tobytes())
        folder.put(target, name)
    return state.hexdigest()


class _Places:
    """Looks up where candidates lie."""

    def __init__(self, pool: Pool):
        self._pool = pool
        parts = [f"{corpus}/{unit}" for corpus, unit in pool.parts]
        self._part_hash = hash_ids(pa.array(parts, pa.string()), 0)
        self._corpora = pa.array([corpus for corpus, _ in pool.parts], pa.string())
        self._units = pa.array([unit for _, unit in pool.parts], pa.string())
        chunks = [c.cast(pa.large_string()) for c in pool.ids.chunks]
        self._ids = pa.concat_arrays(chunks or [pa.array([], pa.large_string())])

    def hashes(self, rows: Ints) -> NDArray[np.uint64]:
        """Return (rows,) the hash of each candidate's corpus and part."""
        return self._part_hash[self._pool.part[rows]]

    def table(self, rows: Ints, repeat: NDArray[np.int32]) -> pa.Table:
        """Return the picks of these candidates."""
        part = pa.array(self._pool.part[rows], pa.int32())
        return pa.table(
            [
                self._ids.take(pa.array(rows)).cast(pa.string()),
                self._corpora.take(part).dictionary_encode(),
                self._units.take(part).dictionary_encode(),
                pa.array(self._pool.row[rows]),
                pa.array(repeat),
            ],
            schema=PICKS_SCHEMA,
        )


def digest_picks(folder: Folder, name: str, seed: int) -> str:
    """Return the content digest of a picks file, as `write_picks` computed it."""
    state = xxhash.xxh3_128()
    with folder.open(name) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=_ROWS):
            table = pa.Table.from_batches([batch])
            corpus = table["corpus"].combine_chunks().cast(pa.string())
            unit = table["part"].combine_chunks().cast(pa.string())
            place = pa.compute.binary_join_element_wise(corpus, unit, "/")
            state.update(hash_ids(table["id"].combine_chunks(), seed).tobytes())
            state.update(hash_ids(place, 0).tobytes())
            state.update(table["row"].combine_chunks().to_numpy().tobytes())
            state.update(table["repeat"].combine_chunks().to_numpy().tobytes())
    return state.hexdigest()
