"""Shards return the rows that were written, or name the file and the row that is damaged."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.errors import IntegrityError
from smolmix.tokenize.shards.shards import (
    IDS_SCHEMA,
    TILES_SCHEMA,
    IdsRow,
    Shard,
    TilesRow,
    write,
)


def ids_row(number: int, tokens: int = 40) -> IdsRow:
    rng = np.random.default_rng(number)
    return IdsRow(
        id=f"c/{number}",
        digest=f"{number:032x}",
        input_ids=rng.integers(0, 49_280, tokens).astype(np.uint16),
        spans=((1, 4), (9, tokens)) if number % 2 else (),
        media=("a", "b") if number % 3 else (),
        tiles=(5, 1) if number % 3 else (),
    )


def tiles_row(number: int, size: int = 300) -> TilesRow:
    data = np.random.default_rng(number).bytes(size)
    return TilesRow(
        digest=f"{number:032x}", kind="image", rows=2, cols=1, tiles=3, codec="png",
        blobs=(data, data[:7], b""),
    )  # fmt: skip


def same(found: IdsRow, wanted: IdsRow) -> bool:
    return found.checksum() == wanted.checksum() and np.array_equal(
        found.input_ids, wanted.input_ids
    )


def test_rows_of_ids_come_back_from_several_batches(tmp_path: Path) -> None:
    rows = [ids_row(i) for i in range(600)]
    assert write(tmp_path / "s.arrow", rows, IDS_SCHEMA, {"profile": "p"}) == 600
    shard = Shard(tmp_path / "s.arrow", IdsRow)
    assert len(shard) == 600
    assert shard.info == {"profile": "p", "shard_version": "1"}
    assert all(same(shard.row(i), rows[i]) for i in (0, 255, 256, 511, 599))
    assert pa.ipc.open_file(str(tmp_path / "s.arrow")).num_record_batches == 3
    assert shard.row(7).spans == ((1, 4), (9, 40))


def test_rows_of_tiles_come_back_byte_for_byte(tmp_path: Path) -> None:
    rows = [tiles_row(i) for i in range(5)]
    write(tmp_path / "s.arrow", rows, TILES_SCHEMA, {})
    shard = Shard(tmp_path / "s.arrow", TilesRow)
    for i, wanted in enumerate(rows):
        found = shard.row(i)
        assert tuple(bytes(b) for b in found.blobs) == wanted.blobs
        assert (found.digest, found.tiles, found.nbytes) == (wanted.digest, 3, 307)
    assert pl.read_ipc(tmp_path / "s.arrow")["digest"].to_list() == [r.digest for r in rows]


def test_a_batch_ends_after_a_few_megabytes(tmp_path: Path) -> None:
    write(tmp_path / "s.arrow", [tiles_row(i, 3 << 20) for i in range(4)], TILES_SCHEMA, {})
    assert pa.ipc.open_file(str(tmp_path / "s.arrow")).num_record_batches == 2


def test_an_empty_shard_has_no_rows(tmp_path: Path) -> None:
    assert write(tmp_path / "s.arrow", [], IDS_SCHEMA, {}) == 0
    shard = Shard(tmp_path / "s.arrow", IdsRow)
    assert len(shard) == 0
    with pytest.raises(IntegrityError, match="no row 0; it has 0"):
        shard.row(0)


@given(st.data())
def test_any_change_of_a_row_changes_its_checksum(data: st.DataObject) -> None:
    ids, tiles = ids_row(1), tiles_row(1)
    changed = ids.input_ids.copy()
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 65_535))
    others: Sequence[IdsRow | TilesRow] = [
        IdsRow(id=ids.id, digest=ids.digest, input_ids=changed, spans=ids.spans, media=ids.media,
               tiles=ids.tiles),
        IdsRow(id=ids.id, digest=ids.digest, input_ids=ids.input_ids, spans=((1, 5), (9, 40)),
               media=ids.media, tiles=ids.tiles),
        TilesRow(digest=tiles.digest, kind="image", rows=1, cols=2, tiles=3, codec="png",
                 blobs=tiles.blobs),
        TilesRow(digest=tiles.digest, kind="image", rows=2, cols=1, tiles=3, codec="png",
                 blobs=(tiles.blobs[0][:-1], tiles.blobs[0][-1:], b"")),
    ]  # fmt: skip
    sums = {ids.checksum(), tiles.checksum(), *(o.checksum() for o in others)}
    assert len(sums) == 6


def test_a_flipped_byte_of_the_content_is_named_by_file_and_row(tmp_path: Path) -> None:
    row = tiles_row(3)
    path = tmp_path / "s.arrow"
    write(path, [tiles_row(1), row], TILES_SCHEMA, {})
    data = bytearray(path.read_bytes())
    data[data.index(row.blobs[0]) + 100] ^= 1
    path.write_bytes(data)
    shard = Shard(path, TilesRow, where="s3://b/tiles/s.arrow")
    assert shard.row(0).checksum() == tiles_row(1).checksum()
    with pytest.raises(IntegrityError, match=r"s3://b/tiles/s\.arrow: row 1 has checksum"):
        shard.row(1)


def test_what_is_no_shard_of_this_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.arrow"
    with pytest.raises(IntegrityError, match=r"s\.arrow: missing; run `smolmix verify`"):
        Shard(path, IdsRow)
    write(path, [ids_row(1)], IDS_SCHEMA, {})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"s\.arrow: damaged"):
        Shard(path, IdsRow)
    later = IDS_SCHEMA.with_metadata({"smolmix.shard_version": "9"})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, later):
        pass
    with pytest.raises(IntegrityError, match="shard version 9; this smolmix reads version 1"):
        Shard(path, IdsRow)
