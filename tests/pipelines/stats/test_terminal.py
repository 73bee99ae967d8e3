"""Numbers, bars and tables as text."""

import csv
import io

import pytest

from smolmix.pipelines.stats.terminal import bar, number, plain, size, spark, table, to_csv


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345, "12,345"), (1.5, "1.5"), (2.0, "2"), (None, "–"), (1234.56, "1,234.6"), ("a", "a")],
)
def test_a_number_is_written_as_people_write_it(value: object, text: str) -> None:
    assert number(value) == text


def test_a_size_has_the_largest_unit_below_it() -> None:
    assert [size(n) for n in (0, 999, 1000, 2_500_000, 10**15)] == [
        "0 B", "999 B", "1 kB", "2.5 MB", "1e+03 TB",
    ]  # fmt: skip


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    assert table([{"name": "a", "rows": 5}, {"name": "long", "rows": 12345}]) == [
        "  name    rows",
        "  a          5",
        "  long  12,345",
    ]
    assert table([]) == ["  nothing"]


def test_csv_has_a_header_and_reads_back() -> None:
    rows = [{"corpus": "a,b", "samples": 3}]
    assert list(csv.DictReader(io.StringIO(to_csv(rows)))) == [{"corpus": "a,b", "samples": "3"}]
    assert to_csv([]) == ""


def test_bars_and_sparks_fit_and_control_characters_stay_out() -> None:
    assert bar(1.0, 10) == "█" * 10
    assert bar(0.0, 10) == ""
    assert spark([1.0, 2.0, 3.0]) == "▁▅█"
    assert len(spark([float(n) for n in range(1000)])) <= 60
    assert spark([1.0, None, 3.0]) == "▁×█"
    assert (spark([]), spark([None])) == ("", "×")
    assert plain("a\x1b[31mred\x07") == "a�[31mred�"
