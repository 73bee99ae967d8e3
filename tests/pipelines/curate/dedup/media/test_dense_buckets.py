"""Media that all are in dense buckets: copies among them are found, and work stays bounded."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from tests.support.pictures import encoded

from smolmix.pipelines.curate.dedup.media import hamming, nearest, pixels
from smolmix.pipelines.curate.dedup.media.hash_search import Column, Search, Table

Make = Callable[..., Any]
Curate = Callable[..., Any]


def pattern(seed: int) -> Image.Image:
    """Squares of single-pixel checks on plain grey: a hash sees the grey alone."""
    chance, image = random.Random(seed), np.full((64, 64, 3), 128.0)
    for quarter in range(4):
        y, x = (32 * at + 8 * chance.randint(0, 2) for at in divmod(quarter, 2))
        signs = np.tile(np.array(((1, -1), (-1, 1))), (8, 8))[..., None]
        colour = np.array([chance.choice((-90, -45, 45, 90)) for _ in range(3)])
        image[y : y + 16, x : x + 16] += signs * colour
    return Image.fromarray(image.round().astype(np.uint8))


def form(seed: int) -> Image.Image:
    """One template, filled in differently."""
    fixed, filled = random.Random(0), random.Random(seed)
    image, font = Image.new("RGB", (420, 540), "white"), ImageFont.load_default(size=14)
    draw = ImageDraw.Draw(image)
    for y in range(30, 510, 30):
        draw.text((20, y), "".join(fixed.choices("ABCDEFGH", k=8)) + ":", font=font, fill="black")
        draw.line([120, y + 18, 400, y + 18], fill="gray")
        value = "".join(filled.choices("abcdefghijk 0123456789", k=16))
        draw.text((130, y), value, font=font, fill=(20, 20, 90))
    return image


def _ask(corpus: Any, key: str, data: bytes) -> None:
    corpus.ask(key, corpus.file(key, data), "What is shown?", "Something.")


def test_pixel_exact_copies_in_a_dense_bucket_are_all_found(planted: Make, curated: Curate) -> None:
    corpus = planted()
    flat = [pattern(i) for i in range(120)]
    for number, image in enumerate(flat):
        _ask(corpus, f"one{number}", encoded(image))
    for number in range(0, 120, 8):
        _ask(corpus, f"two{number}", encoded(flat[number], "WEBP", lossless=True))
    for number in range(70):  # more than any picture has neighbours
        _ask(corpus, f"many{number}", encoded(flat[0], compress_level=1) + b"\0" * (number + 1))
    found = curated(corpus.write(files=2))
    assert found.fall.dense_buckets["image"]["dense"] == 205
    assert found.fall.dense_buckets["image"]["not_compared"] >= 205 * 204 // 2 - 205
    assert any("are in dense buckets" in line for line in found.fall.lines())
    assert found.fall.duplicates == {"duplicate-near-media": 85}
    kept = {k.removeprefix("one").removeprefix("two") for k in found.kept if "many" not in k}
    assert kept >= {str(n) for n in range(1, 120)}
    assert len(found.kept) == 120


SMALL_BUCKETS = "dedup:\n  dense_buckets: {max_neighbours: 1, nearest: 4}\n"


def test_changed_copies_in_a_dense_bucket_are_found_and_other_forms_stay(
    planted: Make, curated: Curate, tmp_path: Path
) -> None:
    policy = tmp_path / "small.yaml"
    policy.write_text(SMALL_BUCKETS)
    corpus = planted()
    for number in range(32):
        image = form(number)
        _ask(corpus, f"form{number}", encoded(image))
        if number % 8 == 0:
            _ask(corpus, f"jpeg{number}", encoded(image, "JPEG", quality=60))
            _ask(corpus, f"crop{number}", encoded(image.crop((8, 10, 412, 532))))
            _ask(corpus, f"half{number}", encoded(image.resize((294, 378)), "JPEG", quality=85))
    found = curated(corpus.write(), policy=str(policy))
    assert found.fall.dense_buckets["image"]["dense"] >= 40
    assert found.fall.dense_buckets["image"]["not_compared"] > 40
    assert set(found.dropped) == {
        f"{how}{n}" for how in ("jpeg", "crop", "half") for n in (0, 8, 16, 24)
    }
    assert {f"form{n}" for n in range(32)} == set(found.kept)


def _checks(colour: tuple[int, int, int], contrast: float) -> Image.Image:
    signs = np.tile(np.array(((1, -1), (-1, 1))), (8, 8))[..., None]
    image = np.full((64, 64, 3), 128.0)
    image[8:24, 8:24] += signs * np.array(colour) * contrast
    return Image.fromarray(image.clip(0, 255).round().astype(np.uint8))


def test_small_pictures_of_one_luma_and_other_fine_colours_are_not_the_same() -> None:
    red, blue = _checks((1, -1, -1), 100), _checks((-1, -1, 1), 60)
    assert not pixels.compare_small(red, blue).same
    for picture in (red, blue):
        for quality in (95, 90):
            again = Image.open(io.BytesIO(encoded(picture, "JPEG", quality=quality, subsampling=0)))
            assert pixels.compare_small(picture, again.convert("RGB")).same


hashes = st.lists(st.integers(0, 2**10 - 1), min_size=1, max_size=40)


@settings(deadline=None)
@given(hashes, hashes, st.integers(1, 6), st.booleans())
def test_hash_search_writes_every_close_pair_or_counts_it(
    left: list[int], right: list[int], limit: int, within: bool
) -> None:
    one = Column.of(_table("a", left), 0)
    other = one if within else Column.of(_table("b", right), 0)
    names = {f"a{i}": h for i, h in enumerate(left)}
    names |= {} if within else {f"b{i}": h for i, h in enumerate(right)}
    ends = (left, left) if within else (left, right)
    wanted = {
        (f"a{i}", f"{'a' if within else 'b'}{j}")
        for i, a in enumerate(ends[0])
        for j, b in enumerate(ends[1])
        if (a ^ b).bit_count() <= 2 and (i < j or not within)
    }
    written, not_compared, dense = set[frozenset[str]](), 0, set[str]()
    for band in range(hamming.bands_for(2)):
        search = Search(one, other, band=band, max_bits=2, limit=limit)
        not_compared += search.not_compared
        dense |= search.dense()
        for a, b, bits in search.pairs():
            for x, y, apart in zip(a.astype(str), b.astype(str), bits, strict=True):
                pair = frozenset((str(x), str(y)))
                assert pair not in written
                assert (names[str(x)] ^ names[str(y)]).bit_count() == apart
                written.add(pair)
    assert written <= set(map(frozenset, wanted))
    assert len(written) + not_compared == len(wanted)
    assert all(pair <= dense for pair in set(map(frozenset, wanted)) - written)


def _table(letter: str, values: list[int]) -> Table:
    digests = np.array([f"{letter}{i}" for i in range(len(values))], dtype="S32")
    return Table(digests=digests, hashes=np.array(values, np.uint64).reshape(-1, 1))


def test_windows_hold_every_picture_and_near_ones_together() -> None:
    rng = np.random.default_rng(3)
    spread = rng.integers(-100, 100, (200, 1)) * np.array([[1, 1, 0, 0]])
    own = (spread + rng.integers(-3, 3, (200, 4))).astype(np.int8)
    own[100:] = own[:100]  # each twice
    parts = list(nearest.windows(own, 40))
    assert {int(i) for part in parts for i in part} == set(range(200))
    assert max(map(len, parts)) <= 40
    found = set[tuple[int, int]]()
    for one in nearest.nearest(
        own,
        lambda members: (own[members][:, None], own[members][:, :0].reshape(len(members), 0, 4)),
        lambda rows, columns: rows[:, None] != columns[None],
        3,
        window=40,
    ):
        found |= {(int(a), int(b)) for a, b in zip(one.one, one.other, strict=True)}
    assert {(i, i + 100) for i in range(100)} <= found


def test_the_order_of_files_and_workers_change_nothing_in_a_dense_bucket(
    planted: Make, curated: Curate
) -> None:
    kept = []
    for files, reverse, workers in ((1, False, 0), (3, True, 2)):
        corpus = planted()
        for number in range(90):
            _ask(corpus, f"one{number}", encoded(pattern(number % 80)) + b"\0" * (number // 80))
        source = corpus.write(files=files, reverse=reverse)
        kept.append(set(curated(source, workers=workers).kept))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 80


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 99), st.integers(10, 70), st.integers(10, 70), st.integers(1, 60))
def test_what_the_first_check_refuses_the_full_comparison_refuses(
    seed: int, wide: int, high: int, noise: int
) -> None:
    rng = np.random.default_rng(seed)
    shown = rng.integers(0, 255, (high // 4 + 1, wide // 4 + 1, 3)).astype(np.uint8)
    one = Image.fromarray(shown).resize((wide, high))
    off = rng.normal(0, noise, (high, wide, 3))
    other = Image.fromarray((np.asarray(one) + off).clip(0, 255).astype(np.uint8))
    a, b = one.convert("YCbCr"), other.convert("YCbCr")
    assert pixels.least_residual(a, b) <= pixels.residual(a, b, pixels.Crop())[0]
