import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.mixtures.spec.conditions import NAMES, NUMBERS, Condition, compare, parse

WORD = st.text("abcdefgh-.", min_size=1, max_size=8)
ORDER = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    if draw(st.booleans()):
        return Condition(
            field=draw(st.sampled_from(NUMBERS)),
            op=draw(st.sampled_from(list(ORDER))),
            number=float(draw(st.integers(-99_999, 99_999))),
        )
    op = draw(st.sampled_from(["==", "!=", "in", "not in"]))
    most = 1 if op in ("==", "!=") else 4
    values = draw(st.lists(WORD, min_size=1, max_size=most))
    return Condition(
        field=draw(st.sampled_from([*NAMES, "tags.answer"])), op=op, values=tuple(values)
    )


def same(a: Condition, b: Condition) -> bool:
    number = a.number == b.number or not a.is_number
    return (a.field, a.op, a.values) == (b.field, b.op, b.values) and number


@given(conditions())
def test_what_is_printed_is_parsed_to_the_same_condition(one: Condition) -> None:
    assert same(parse(str(one)), one)


@given(st.integers(-9, 9), st.sampled_from(list(ORDER)), st.integers(-9, 9))
def test_numbers_are_compared_as_written(value: int, op: str, bound: int) -> None:
    assert compare(value, op, bound) is ORDER[op](value, bound)
    assert parse(f"tokens {op} {bound}").holds_for_known({"tokens": value}) is ORDER[op](
        value, bound
    )


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("licence == MIT", {"MIT"}),
        ("licence != MIT", {"GPL", "CC0"}),
        ("licence in {MIT, 'CC0'}", {"MIT", "CC0"}),
        ("licence  not  in {MIT}", {"GPL", "CC0"}),
    ],
)
def test_names_are_compared_as_sets(text: str, allowed: set[str]) -> None:
    condition = parse(text)
    assert {n for n in ("MIT", "GPL", "CC0") if condition.holds_for(n)} == allowed


def test_a_field_that_is_not_declared_decides_nothing() -> None:
    assert parse("duration_s <= 3").holds_for_known({"licence": "MIT"}) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("duration_s", "invalid condition 'duration_s'; write MEASURE OPERATOR VALUE"),
        ("duration <= 3", "unknown measure 'duration'; known: .*did you mean 'duration_s'"),
        ("tokens in {1, 2}", "tests a number for membership"),
        ("tokens <= many", "compares a number with 'many'; write a number"),
        ("tokens <= inf", "write a finite number"),
        ("licence <= MIT", "orders names; licence allows ==, !=, in, not in"),
        ("licence in MIT", r"has no set; write licence in \{a, b\}"),
        ("licence in {}", "has an empty set"),
    ],
)
def test_an_invalid_condition_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)
