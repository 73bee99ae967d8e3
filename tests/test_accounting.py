"""Row accounting balances exactly when no row is lost, and says what is missing."""

from hypothesis import given
from hypothesis import strategies as st

from smolmix.accounting import RowAccounting
from smolmix.sample import Dropped

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


def test_rows_that_were_neither_adapted_nor_dropped_are_named() -> None:
    accounting = RowAccounting(rows=5, rows_adapted=3, rows_dropped={"rows-unreadable": 1})
    assert accounting.imbalance() == (
        "5 rows came in, 3 were adapted and 1 dropped: 1 unaccounted for"
    )


def test_a_dropped_row_and_a_dropped_sample_are_counted_apart() -> None:
    accounting = RowAccounting()
    accounting.drop(Dropped(id="a#1", stage="adapt", reason="rows-unreadable", rows=1))
    accounting.drop(Dropped(id="a/2", stage="filter", reason="answer-empty"))
    accounting.drop(Dropped(id="a/3", stage="filter", reason="answer-empty"))
    assert accounting.rows_dropped == {"rows-unreadable": 1}
    assert accounting.dropped == {"answer-empty": 2}


@given(counts, counts)
def test_sums_have_every_reason_once_in_order(one: dict[str, int], other: dict[str, int]) -> None:
    total = RowAccounting(dropped=one) + RowAccounting(dropped=other)
    assert total.dropped == {k: one.get(k, 0) + other.get(k, 0) for k in sorted({*one, *other})}
    assert list(total.dropped) == sorted(total.dropped)


def test_two_stages_in_a_row_balance_as_one() -> None:
    first = RowAccounting(
        rows=9, rows_adapted=8, rows_dropped={"rows-unreadable": 1}, samples=10, kept=8,
        dropped={"worker-killed": 2},
    )  # fmt: skip
    second = RowAccounting(samples=8, kept=5, dropped={"answer-empty": 1}, duplicates=2)
    both = first.then(second)
    assert both.imbalance() == ""
    assert (both.samples, both.kept, both.duplicates) == (10, 5, 2)
    assert both.dropped == {"answer-empty": 1, "worker-killed": 2}
    assert (first.kept, second.samples) == (8, 8)
