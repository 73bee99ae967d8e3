"""`exif: apply`: what is measured, planned, counted and cut is the picture turned upright."""

import io
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from msgspec import structs
from PIL import Image, ImageOps
from tests.support import small_workspace

from smolmix.cost import displayed, media_grid
from smolmix.engine.stage import RunOptions
from smolmix.media import MediaReader
from smolmix.pipelines.curate.measure.media import MediaMeasurer
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import PixelProfile, Profile
from smolmix.sample import Media, MediaRef
from smolmix.tokenize.loader import SequenceDataset
from smolmix.tokenize.tiles.codec import decode_tiles
from smolmix.tokenize.tiles.cutting import cut
from smolmix.tokenize.tiles.image import split, to_rgb
from smolmix.workspace import Workspace

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")


@pytest.fixture
def upright(nano: Profile) -> Profile:
    return replace(nano, pixel=replace(nano.pixel, exif="apply"))


def picture(orientation: int, kind: str = "JPEG", size: tuple[int, int] = (150, 40)) -> bytes:
    rng = np.random.default_rng(orientation)
    small = Image.fromarray(rng.integers(0, 255, (5, 15, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    small.resize(size).save(stream, kind, exif=exif)
    return stream.getvalue()


def measured(workspace: Workspace, name: str, data: bytes) -> Media:
    workspace.write_bytes(f"raw/made/{name}", data)
    medium = Media(kind="image", refs=(MediaRef(uri=f"raw/made/{name}"),))
    medium, fault = MediaMeasurer(MediaReader(workspace)).measure(medium, {})
    assert not fault
    return medium


def pillow(data: bytes, pixel: PixelProfile) -> Any:
    """Return the tiles of the picture as Pillow turns it."""
    with Image.open(io.BytesIO(data)) as image:
        return split(to_rgb(ImageOps.exif_transpose(image)), pixel)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_planned_and_cut_is_what_pillow_turns(
    kind: str, workspace: Workspace, upright: Profile
) -> None:
    pixel, turned = upright.pixel, 0
    for orientation, codec in product((0, 1, 2, 3, 4, 5, 6, 7, 8, 9), ("source", "png")):
        data = picture(orientation, kind)
        medium = measured(workspace, f"{orientation}.{kind}", data)
        grid, wanted = pillow(data, pixel)
        row = cut(medium, [data], replace(pixel, codec=codec))
        assert row.grid == grid
        assert media_grid(medium, pixel) == grid
        assert np.array_equal(decode_tiles([bytes(b) for b in row.blobs], codec, pixel), wanted)
        turned += grid.rows > grid.cols
    assert turned == 8  # four of the orientations are quarter turns, under two codecs


def test_left_alone_by_default_as_transformers_does(workspace: Workspace, nano: Profile) -> None:
    medium = measured(workspace, "6.jpg", picture(6))
    assert (medium.width, medium.height, medium.orientation) == (150, 40, 6)
    assert displayed(medium, nano.pixel) == (150, 40)
    assert cut(medium, [picture(6)], nano.pixel).grid.cols == 2


def test_counts_sequences_and_tiles_are_of_the_turned_picture(
    workspace: Workspace, upright: Profile
) -> None:
    media = [measured(workspace, f"{o}.jpg", picture(o)) for o in range(1, 9)]
    liar = structs.replace(media[5], orientation=1, digest="0" * 32)
    samples = [small_workspace.sample(i, "c", [m]) for i, m in enumerate([*media, liar])]
    small_workspace.put_curated(workspace, "c", samples)
    small_workspace.put_selection(workspace, "m", ["c"])
    ensure_counts(workspace, ["c"], upright, RunOptions(quiet=True))
    planned = pl.concat(
        pl.read_parquet(workspace.counts(upright.name, "c").local(f"part-{i:05d}.parquet"))
        for i in range(2)
    )
    made = tokenize_mixture(workspace, "m", upright, 512, options=RunOptions(quiet=True))
    assert made.record.dropped == {"plan-mismatch": 1}
    assert made.record.tokens == planned["tokens"][:8].sum()
    assert made.record.tiles == planned["tiles"][:8].sum()
    dataset = SequenceDataset(workspace, made.folder)
    selection = pl.read_parquet(workspace.mixture("m").local("selection.parquet"))
    seen = 0
    for i in range(len(dataset)):
        sequence = dataset[i]
        keys = [int(selection["id"][s].rpartition("/")[2]) for s in sequence["samples"]]
        wanted = [pillow(picture(key + 1), upright.pixel)[1] for key in keys]
        channels_first = np.concatenate(wanted).transpose(0, 3, 1, 2)
        assert np.array_equal(sequence["tiles"].numpy(), channels_first)
        seen += len(keys)
    assert seen == 8
