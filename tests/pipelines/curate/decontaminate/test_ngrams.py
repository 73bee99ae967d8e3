"""A benchmark's text is found where enough of its n-grams are, or all of it."""

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.curate.decontaminate.ngrams import Index
from smolmix.pipelines.curate.dedup.text.shingles import words
from smolmix.pipelines.curate.settings import Decontaminate

SETTINGS = Decontaminate(ngram_words=4, min_coverage=0.5, common_in=2)
TEXT = "the seventh lighthouse keeper counted every ship that passed"  # 6 runs of 4 words


def index_of(*texts: str, settings: Decontaminate = SETTINGS) -> Index:
    return Index.build([(f"b{n}", words(t)) for n, t in enumerate(texts)], settings)


def found(index: Index, text: str, settings: Decontaminate = SETTINGS) -> str | None:
    match = index.match(words(text), settings)
    return match[0] if match else None


@pytest.mark.parametrize(
    ("count", "contaminated"), [(9, True), (7, True), (6, True), (5, False), (4, False)]
)
def test_half_of_the_ngrams_is_contamination(count: int, contaminated: bool) -> None:
    own = " ".join(TEXT.split()[:count])  # count - 3 of the 6 runs
    match = found(index_of(TEXT), f"before all of it {own} and after that more")
    assert (match == "b0") == contaminated


def test_case_and_punctuation_do_not_hide_a_text() -> None:
    assert found(index_of(TEXT), f"So: {TEXT.upper()}!") == "b0"


def test_ngrams_of_many_benchmark_texts_are_boilerplate() -> None:
    common = "choose the right answer from the list below"
    texts = [f"{common} {n} {' '.join(random.Random(n).choices('abcd', k=9))}" for n in range(4)]
    assert found(index_of(*texts), f"{common} please now") is None
    rare = Decontaminate(ngram_words=4, min_coverage=0.3, common_in=10)
    assert found(index_of(*texts, settings=rare), common, rare) is not None


def test_a_short_text_is_found_only_where_it_is_all_of_the_sample() -> None:
    index = index_of("who wrote it", "who wrote the famous letter")
    assert found(index, "Who wrote the famous letter?") == "b1"
    assert found(index, "who wrote it") is None  # fewer than four words are not searched


def test_the_text_with_the_largest_share_is_named() -> None:
    other = " ".join(TEXT.split()[:7]) + " some quite different words follow here now"
    assert found(index_of(other, TEXT), f"and {TEXT} so") == "b1"


def test_an_index_is_read_as_it_was_written() -> None:
    stream = io.BytesIO()
    index_of(TEXT, "quite another text of many words").save(stream)
    stream.seek(0)
    assert found(Index.load(stream), f"a {TEXT} b") == "b0"


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=9), min_size=1, max_size=5),
    st.lists(st.sampled_from("abcdefgh"), max_size=14),
)
def test_matches_are_those_of_sets_of_ngrams(texts: list[list[str]], said: list[str]) -> None:
    settings = Decontaminate(ngram_words=3, min_coverage=0.5, common_in=10)

    def grams(tokens: list[str]) -> set[tuple[str, ...]]:
        return {tuple(tokens[i : i + 3]) for i in range(len(tokens) - 2)}

    own = grams(said)
    shares = [(len(grams(t) & own), len(grams(t))) for t in texts]
    enough = [
        held / count if held / count >= 0.5 and held >= min(2, count) else 0.0
        for held, count in shares
    ]
    index = Index.build([(f"b{n}", words(" ".join(t))) for n, t in enumerate(texts)], settings)
    match = index.match(words(" ".join(said)), settings)
    if said in texts:
        assert match is not None
    elif max(enough) == 0.0:
        assert match is None
    else:
        assert match is not None
        assert enough[int(match[0][1:])] == max(enough)
