"""Signatures estimate how many runs of words two texts share."""

import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.support.measured import measured

from smolmix.pipelines.curate.dedup.text import minhash
from smolmix.pipelines.curate.dedup.text.shingles import Words
from smolmix.pipelines.curate.settings import TextDedup


def _text(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices("abcdefghijk", k=5)) for _ in range(count)]


def _jaccard(one: list[str], other: list[str], size: int) -> float:
    a, b = ({tuple(w[i : i + size]) for i in range(len(w) - size + 1)} for w in (one, other))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("changed", [0, 2, 8, 30])
def test_equal_hashes_estimate_the_jaccard_similarity(changed: int) -> None:
    settings, rng = TextDedup(bands=64, rows=8), random.Random(4)
    errors = []
    for _ in range(12):
        one = _text(rng, 120)
        other = [*one]
        for place in rng.sample(range(120), changed):
            other[place] = "changed" + "".join(rng.choices("xyz", k=6))
        words = Words.of([" ".join(one), " ".join(other)])
        first, second = minhash.signatures(words, settings)
        errors.append(float((first == second).mean()) - _jaccard(one, other, 5))
    assert abs(float(np.mean(errors))) < 0.03  # 12 × 512 hashes: a standard deviation of 0.007
    assert max(map(abs, errors)) < 0.12


def test_band_keys_are_equal_where_all_hashes_of_the_band_are() -> None:
    settings = TextDedup(bands=4, rows=3)
    rng = np.random.default_rng(1)
    one = rng.integers(0, 3, (400, 12)).astype(np.uint32)
    keys = minhash.band_keys(one, settings)
    assert keys.shape == (400, 4)
    compared = 0
    for band in range(4):
        rows = one[:, 3 * band : 3 * band + 3]
        same = (rows[:, None] == rows[None]).all(axis=2)
        assert ((keys[:, band, None] == keys[None, :, band]) == same).all()
        compared += int(same.sum())
    assert compared > 4 * 400


def test_a_part_holds_each_text_with_its_signature(tmp_path: Path) -> None:
    settings = TextDedup()
    texts = ["one two three four five six", "7 apples and 8 pears"]
    samples = [
        (row, measured(("assistant", text), id=f"c/{row}", text_chars=len(text)).sample)
        for row, text in enumerate(texts)
    ]
    with minhash.Writer(tmp_path / "a.parquet", settings) as writer:
        writer.write(samples)
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["id"].to_pylist() == ["c/0", "c/1"]
    assert table["chars"].to_pylist() == list(map(len, texts))
    signature = minhash.signatures(Words.of(texts), settings)
    stored = [np.frombuffer(s, np.uint32) for s in table["signature"].to_pylist()]
    assert np.array_equal(np.stack(stored), signature)
    assert table["band03"].to_pylist() == minhash.band_keys(signature, settings)[:, 3].tolist()


def test_no_file_is_written_where_near_duplicates_are_not_enabled(tmp_path: Path) -> None:
    with minhash.Writer(tmp_path / "a.parquet", TextDedup(enabled=False)) as writer:
        writer.write([(0, measured().sample)])
    assert not (tmp_path / "a.parquet").exists()
    assert writer.count == 0
