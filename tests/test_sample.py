"""Samples cannot change, and their digest is what a model would see."""

import pickle

import pytest
from hypothesis import given
from msgspec.structs import replace
from tests.support.strategies import samples

from smolmix.sample import Media, MediaRef, Sample, Turn, turns_of


@given(samples())
def test_a_sample_cannot_change_and_is_the_same_key_after_pickling(one: Sample) -> None:
    with pytest.raises(AttributeError):
        one.corpus = "another"  # type: ignore[misc]  # it is frozen
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    assert {one: 1}[again] == 1
    assert replace(one, corpus=one.corpus + "x") != one


def test_the_digest_tells_apart_what_could_be_joined_or_cut_elsewhere() -> None:
    """Every pair of conversations a model would see differently has two digests."""
    media = (Media(kind="image", refs=(MediaRef(uri="u"),), digest="d"),)
    said: list[tuple[Turn, ...]] = [
        turns_of(("user", "ab"), ("assistant", "c")),
        turns_of(("user", "a"), ("assistant", "bc")),
        turns_of(("user", ["a", "b"]), ("assistant", "c")),
        turns_of(("assistant", "ab"), ("user", "c")),
        turns_of(("user", "ab\x02-1 1 c"), ("assistant", "")),
        turns_of(("user", "ab"), ("assistant", ""), ("user", "c")),
        turns_of(("user", "ab\ud800"), ("assistant", "c")),
        turns_of(("user", [0, "ab"]), ("assistant", "c")),
        turns_of(("user", ["ab", 0]), ("assistant", "c")),
        turns_of(("user", ["ab", 1]), ("assistant", "c")),
        turns_of(("user", "ab\x010"), ("assistant", "c")),
    ]
    digests = {_sample(turns, shown).digest() for turns in said for shown in (media, media * 2)}
    assert len(digests) == 2 * len(said)


def test_text_that_reads_like_a_placeholder_changes_the_digest_not_the_media() -> None:
    media = (Media(kind="image", refs=(MediaRef(uri="u"),), digest="d"),)
    real = _sample(turns_of(("user", [0, "hi"])), media)
    fake = _sample(turns_of(("user", "<image>hi")), media)
    assert real.digest() != fake.digest()


def _sample(turns: tuple[Turn, ...], media: tuple[Media, ...]) -> Sample:
    return Sample(
        id="a",
        corpus="c",
        modality="image",
        category="vqa",
        licence="MIT",
        source_file="f",
        source_row=0,
        turns=turns,
        media=media,
    )
