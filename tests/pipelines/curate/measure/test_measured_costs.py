"""What measuring says a sample costs is what tokenizing it produces, under every preset."""

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from smolmix import cost
from smolmix.media import MediaReader
from smolmix.profiles import PIXEL_PRESETS, profile
from smolmix.sample import Sample
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.tokenize.tiles.codec import decode_tiles
from smolmix.tokenize.tiles.cutting import cut
from smolmix.workspace import Workspace

Make = Callable[..., Any]
Curate = Callable[..., Any]

SIZES = ((64, 48), (701, 333), (1300, 1301), (90, 900), (512, 512))


def picture(width: int, height: int, kind: str = "PNG", **options: Any) -> bytes:
    rng = np.random.default_rng(width * 10_000 + height)
    small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
    stream = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(stream, kind, **options)
    return stream.getvalue()


def clip(frames: int, rate: Fraction) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as out:
        track: Any = out.add_stream("libx264", rate=rate)
        track.width, track.height, track.pix_fmt = 96, 64, "yuv420p"
        for index in range(frames):
            shown = np.full((64, 96, 3), 40 + index * 150 // frames, np.uint8)
            shown[:, : 1 + index * 90 // frames] = 250
            out.mux(track.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(track.encode(None))
    return stream.getvalue()


@pytest.fixture
def measured(planted: Make, curated: Curate) -> dict[str, Sample]:
    """Images of odd sizes, one turned by its EXIF, several in one chat, clips, and text."""
    corpus = planted()
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [corpus.file(f"{w}x{h}.png", picture(w, h)) for w, h in SIZES]
    files.append(corpus.file("turned.jpg", picture(320, 200, "JPEG", exif=exif)))
    for number, file in enumerate(files):
        corpus.ask(f"image{number}", file, "What is shown in it?", "A blur of colours.")
    corpus.add(
        "several",
        ("user", [0, "and", 1, "and", 2, "Which is the widest?"]),
        ("assistant", "The second."),
        images=files[:3],
    )
    for number, (frames, rate) in enumerate(((12, Fraction(8)), (200, Fraction(30000, 1001)))):
        place = corpus.file(f"{number}.mp4", clip(frames, rate))
        turns = ("user", [0, "What happens?"]), ("assistant", "It fills up.")
        corpus.add(f"video{number}", *turns, videos=[place])
    corpus.add("text", ("user", "Say <image> twice, in French."), ("assistant", "Image, image."))
    found = curated(corpus.write())
    assert found.dropped == {}
    return dict(found.kept)


@pytest.mark.parametrize("preset", sorted(PIXEL_PRESETS))
def test_measured_tokens_and_tiles_are_what_tokenizing_produces(
    measured: dict[str, Sample], workspace: Workspace, preset: str
) -> None:
    rates, vocabulary, reader = profile(preset), tokenizer.load(), MediaReader(workspace)
    samples = list(measured.values())
    assert {s.modality for s in samples} == {"image", "multi-image", "video", "text"}
    counts = encode.count(samples, rates, vocabulary)
    checked = 0
    for sample, counted in zip(samples, counts, strict=True):
        encoded = next(encode.encode([sample], rates, vocabulary))
        tiles = 0
        for medium in sample.media:
            row = cut(medium, reader.read_all(medium), rates.pixel)
            made = decode_tiles([bytes(b) for b in row.blobs], row.codec, rates.pixel)
            tiles += len(made)
        assert counted.tokens == len(encoded.input_ids)
        assert counted.tiles == tiles == cost.media_tiles(sample.media, rates.pixel)
        assert counted.visual_tokens == cost.visual_tokens(sample.media, rates.pixel)
        assert counted.supervised_tokens == int((encoded.labels() != -100).sum())
        checked += 1
    assert checked == 10


def test_measured_text_tokens_are_the_tokenizers_of_each_text(measured: dict[str, Sample]) -> None:
    vocabulary = tokenizer.load()
    assert len(measured) > 3
    for sample in measured.values():
        texts = [p.text for t in sample.turns for p in t.parts if p.text]
        assert sample.text_tokens == sum(len(vocabulary.encode(t)) for t in texts) > 5
