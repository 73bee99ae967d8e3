"""Conditions on a sample's measures and tags, as in `licence not in {CC-BY-NC-4.0}`."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from smolmix.errors import nearest

# Measures that curation and counting record of each sample.
NUMBERS = (
    "duration_s",
    "tokens",
    "text_tokens",
    "visual_tokens",
    "supervised_tokens",
    "tiles",
    "frames",
    "n_turns",
    "n_media",
    "text_chars",
    "answer_chars",
)
NAMES = ("corpus", "subset", "modality", "category", "cot", "licence", "language")
TAG_PREFIX = "tags."

_FORM = re.compile(r"^\s*([\w.]+)\s*(<=|>=|==|!=|<|>|not\s+in\b|in\b)\s*(.+?)\s*$")
_ORDERED = ("<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition that a sample must meet."""

    field: str
    op: str  # < <= > >= == != in "not in"
    values: tuple[str, ...] = ()  # for names and tags
    number: float = math.nan  # for measures

    @property
    def is_number(self) -> bool:
        """Whether the field is a measure."""
        return self.field in NUMBERS

    def __str__(self) -> str:
        """Return the condition as it is written in a spec."""
        if self.is_number:
            return f"{self.field} {self.op} {self.number:g}"
        if self.op in ("in", "not in"):
            return f"{self.field} {self.op} {{{', '.join(self.values)}}}"
        return f"{self.field} {self.op} {self.values[0]}"

    def holds_for(self, name: str) -> bool:
        """Whether a name or tag of that value meets the condition."""
        inside = name in self.values
        return inside if self.op in ("==", "in") else not inside

    def holds_for_known(self, known: Mapping[str, object]) -> bool | None:
        """Whether declared facts meet the condition; None where the field is not declared.

        Args:
            known: field -> declared value.
        """
        value = known.get(self.field)
        if value is None:
            return None
        if not self.is_number:
            return self.holds_for(str(value))
        assert isinstance(value, int | float)
        return bool(compare(float(value), self.op, self.number))


def compare(value: float, op: str, bound: float) -> bool:
    """Return whether `value op bound` holds."""
    return {
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
        "==": value == bound,
        "!=": value != bound,
    }[op]


def parse(text: str) -> Condition:
    """Return the condition that a text writes.

    Raises:
        ValueError: the condition is invalid, or its field is unknown.
    """
    match = _FORM.match(text)
    if match is None:
        raise ValueError(
            f"invalid condition {text!r}; write MEASURE OPERATOR VALUE, e.g. duration_s <= 300 or "
            "licence not in {CC-BY-NC-4.0}"
        )
    field, op, rest = match.group(1), " ".join(match.group(2).split()), match.group(3)
    known = (*NUMBERS, *NAMES)
    if field not in known and not field.startswith(TAG_PREFIX):
        raise ValueError(
            f"unknown measure {field!r}; known: {', '.join(known)}, tags.NAME"
            f"{nearest(field, known)}"
        )
    if field in NUMBERS:
        return Condition(field=field, op=op, number=_number(text, op, rest))
    if op in _ORDERED:
        raise ValueError(f"{text!r} orders names; {field} allows ==, !=, in, not in")
    if op in ("in", "not in"):
        if not (rest.startswith("{") and rest.endswith("}")):
            raise ValueError(f"{text!r} has no set; write {field} {op} {{a, b}}")
        values = tuple(v.strip().strip("'\"") for v in rest[1:-1].split(",") if v.strip())
        if not values:
            raise ValueError(f"{text!r} has an empty set; write at least one value")
        return Condition(field=field, op=op, values=values)
    return Condition(field=field, op=op, values=(rest.strip("'\""),))


def _number(text: str, op: str, rest: str) -> float:
    if op in ("in", "not in"):
        raise ValueError(f"{text!r} tests a number for membership; use <, <=, >, >=, == or !=")
    try:
        number = float(rest)
    except ValueError as error:
        raise ValueError(f"{text!r} compares a number with {rest!r}; write a number") from error
    if not math.isfinite(number):
        raise ValueError(f"{text!r} compares with {rest}; write a finite number")
    return number
