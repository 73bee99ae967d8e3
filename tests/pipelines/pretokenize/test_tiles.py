"""Each medium is cut once; what cannot be read is tried again once it can be."""

from dataclasses import replace

import polars as pl
from msgspec import structs
from tests.support.small_workspace import (
    clip_medium,
    image_bytes,
    image_medium,
    put_curated,
    sample,
)

from smolmix.engine.stage import RunOptions
from smolmix.media import MediaReader
from smolmix.pipelines.pretokenize.tiles import (
    ensure_tiles,
    failed_media,
    tiles_folder,
    tiles_index,
    tiles_row,
)
from smolmix.profiles import Profile
from smolmix.sample import MediaRef
from smolmix.tokenize.shards.shards import Shard, TilesRow
from smolmix.workspace import Workspace

QUIET = RunOptions(quiet=True)


def wanted(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"part": ["part-00000"] * rows, "row": list(range(rows))})


def test_a_medium_of_several_samples_is_cut_once(workspace: Workspace, nano: Profile) -> None:
    image, clip = image_medium(workspace, 1, 90, 40), clip_medium(workspace, 20)
    samples = [sample(i, "c", m) for i, m in enumerate(([image], [image, clip], [clip], [image]))]
    put_curated(workspace, "c", [*samples, *samples[:3]])
    assert ensure_tiles(workspace, "c", wanted(4), nano.pixel, QUIET).kept == 2
    assert ensure_tiles(workspace, "c", wanted(4), nano.pixel, QUIET).kept == 0
    reader = MediaReader(workspace)
    rows = {r["digest"]: r for r in tiles_index(workspace, nano.pixel, "c").iter_rows(named=True)}
    for medium in (image, clip):
        row = rows.pop(medium.digest)
        stored = Shard(workspace.local(row["shard"]), TilesRow).row(row["row"])
        cut = tiles_row(medium, reader.read_all(medium), nano.pixel)
        assert stored.checksum() == cut.checksum()
        assert (row["kind"], row["tiles"], row["bytes"]) == (medium.kind, cut.tiles, cut.nbytes)
        assert (row["grid_rows"], row["grid_cols"]) == (cut.rows, cut.cols)
    assert rows == {}


def test_pixels_of_another_profile_are_cut_on_their_own(
    workspace: Workspace, nano: Profile
) -> None:
    put_curated(workspace, "c", [sample(0, "c", [image_medium(workspace, 1)])])
    unsplit = replace(nano.pixel, split=False)
    for pixel in (nano.pixel, unsplit):
        assert ensure_tiles(workspace, "c", wanted(1), pixel, QUIET).kept == 1
    assert tiles_index(workspace, unsplit, "c")["tiles"].to_list() == [1]
    first, second = (tiles_folder(workspace, p, "c").path for p in (nano.pixel, unsplit))
    assert first != second


def test_a_medium_that_cannot_be_cut_is_not_tried_again(
    workspace: Workspace, nano: Profile
) -> None:
    wrong = structs.replace(image_medium(workspace, 1), width=10)
    put_curated(workspace, "c", [sample(0, "c", [wrong])])
    assert [ensure_tiles(workspace, "c", wanted(1), nano.pixel, QUIET).kept for _ in "ab"] == [0, 0]
    failed = failed_media(workspace, nano.pixel, "c")
    assert failed.select("digest", "reason").rows() == [(wrong.digest, "plan-mismatch")]
    assert failed["detail"][0].startswith("64 × 48 pixels; measured as 10 × 48")
    assert tiles_index(workspace, nano.pixel, "c").is_empty()


def test_a_medium_that_could_not_be_read_is_cut_once_it_can_be(
    workspace: Workspace, nano: Profile
) -> None:
    later = structs.replace(image_medium(workspace, 1), refs=(MediaRef(uri="raw/made/later.png"),))
    put_curated(workspace, "c", [sample(0, "c", [later])])
    assert [ensure_tiles(workspace, "c", wanted(1), nano.pixel, QUIET).kept for _ in "ab"] == [0, 0]
    assert failed_media(workspace, nano.pixel, "c")["reason"].to_list() == ["media-missing"]
    workspace.write_bytes("raw/made/later.png", image_bytes(64, 48, 1))
    assert ensure_tiles(workspace, "c", wanted(1), nano.pixel, QUIET).kept == 1
    assert tiles_index(workspace, nano.pixel, "c")["digest"].to_list() == [later.digest]
