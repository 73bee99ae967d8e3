"""The record survives a round trip, and text is never taken for media."""

import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from smolmix.accounting import RowAccounting
from smolmix.arrow_columns import array
from smolmix.errors import DataError
from smolmix.sample import Dropped, Media, MediaRef, Sample, Turn, turns_of
from smolmix.schema import SAMPLE_SCHEMA, dropped_from_table, dropped_table, from_table, to_table

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    media = tuple(
        Media(
            kind=draw(st.sampled_from(["image", "video", "frames"])),
            refs=(MediaRef(uri=draw(text), row=draw(st.none() | st.integers(0, 99))),),
            digest=draw(text),
            width=draw(st.integers(1, 9000)),
            duration_s=draw(st.floats(0, 1e5)),
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    question: list[str | int] = [*range(len(media)), draw(text)]
    return Sample(
        id=draw(text),
        corpus=draw(text),
        modality=draw(st.sampled_from(["text", "image", "multi-image", "video"])),
        category=draw(text),
        turns=turns_of(("user", question), ("assistant", draw(text))),
        media=media,
        licence=draw(text),
        source_file=draw(text),
        source_row=draw(st.integers(0, 2**40)),
        tags=tuple(sorted(draw(st.dictionaries(text, text, max_size=3)).items())),
        errors=tuple(draw(st.lists(text, max_size=2))),
    )


@given(st.lists(samples(), max_size=5))
def test_samples_survive_the_round_trip(rows: list[Sample]) -> None:
    assert list(from_table(to_table(rows))) == rows


@given(samples())
def test_a_sample_cannot_change_and_is_the_same_key_after_pickling(one: Sample) -> None:
    with pytest.raises(AttributeError):
        one.corpus = "another"  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    assert {one: 1}[again] == 1
    assert replace(one, corpus=one.corpus + "x") != one


@given(
    st.lists(st.none() | text)
    | st.builds(lambda one, times: [one] * times, text, st.integers(1, 50))
)
def test_text_that_repeats_gives_the_same_array(values: list[str | None]) -> None:
    assert array(values, pa.string()).equals(pa.array(values, pa.string()))


def test_an_empty_table_keeps_the_schema() -> None:
    assert to_table([]).schema.equals(SAMPLE_SCHEMA, check_metadata=True)
    assert list(from_table(to_table([]))) == []


@given(st.lists(st.builds(Dropped, id=text, stage=text, reason=text, detail=text), max_size=5))
def test_dropped_rows_survive_the_round_trip(rows: list[Dropped]) -> None:
    assert list(dropped_from_table(dropped_table(rows))) == rows


def test_another_schema_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    table = to_table([]).replace_schema_metadata({"smolmix.schema_version": "0"})
    pq.write_table(table, path)
    with pytest.raises(DataError, match=r"part-00000\.parquet: record schema version 0; "):
        list(from_table(pq.read_table(path), where=str(path)))


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


counts = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 50), max_size=3)


@given(counts, counts, st.integers(0, 50), st.integers(0, 50), st.integers(1, 5))
def test_row_accounting_balances_exactly_when_nothing_is_lost(
    rows: dict[str, int], dropped: dict[str, int], kept: int, duplicates: int, lost: int
) -> None:
    accounting = RowAccounting(
        rows=7 + sum(rows.values()),
        rows_adapted=7,
        rows_dropped=rows,
        samples=kept + duplicates + sum(dropped.values()),
        kept=kept,
        dropped=dropped,
        duplicates=duplicates,
    )
    assert accounting.imbalance() == ""
    assert (accounting + accounting).imbalance() == ""
    accounting.samples += lost
    assert f"{lost} unaccounted for" in accounting.imbalance()
