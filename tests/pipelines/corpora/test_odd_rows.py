"""Values of another type than the published ones: their row is dropped with a reason, no error."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.formats.format import UnreadableRow
from smolmix.pipelines.formats.text import parse_object
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.schema import from_table, to_table

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))
ODD: list[Any] = [
    None, 5, 3.5, True, "", "x", [], [None], [5], ["a"], {}, {"a": 1}, {"bytes": 5},
    [{"bytes": None}], [[["a"]]], {"from": 5}, [{"from": None, "value": [1]}], float("nan"), -1,
    10**30, [{}], [{"user": 1}], "<image>" * 50, "e\u0301\u200b\ufeff\u0000", "\U0001f600" * 9,
]  # fmt: skip


def _rows(fixture: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return (file, row) of the fixture's rows of the published shape; media are some bytes."""
    found = []
    for path, rows in (fixture.get("rows") or {}).items():
        shaped = [r for r in rows if isinstance(r, dict) and not set(r) & {"$raw", "$latin1"}]
        found += [(path, _plain(r)) for r in shaped]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        if {"$png", "$mp4"} & set(value):
            return b"some bytes"
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _changed(row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return the row with one value, somewhere in it, replaced by an odd one."""
    row = copy.deepcopy(row)
    node: Any = row
    while True:
        key: Any = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        below = node[key]
        if rng.random() < 0.35 or not isinstance(below, dict | list) or not below:
            node[key] = copy.deepcopy(rng.choice(ODD))
            return row
        node = below


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_an_odd_value_costs_its_row_at_most(path: Path) -> None:
    rows, rng = _rows(json.loads(path.read_text())), random.Random(path.stem)
    if path.stem not in SOURCES or not rows:
        pytest.skip("no rows as values")
    source, kept, refused = SOURCES[path.stem], 0, 0
    for number in range(300):
        place, row = rng.choice(rows)
        values = _changed(row, rng)
        values = _changed(values, rng) if number % 3 == 0 and values else values
        made = Row(
            values=values, corpus=source.id, licence="MIT", path=f"raw/{place}", file_row=number,
            subset=source.subset(place),
        )  # fmt: skip
        try:
            samples = list(source.adapt(made))
        except RowError:
            refused += 1
            continue
        assert list(from_table(to_table(samples))) == samples
        kept += len(samples)
    assert kept > 20
    assert refused > 0


@pytest.mark.parametrize(
    "text", [r'{"a": "\ud800"}', r'{"\udc00": 1}', r'{"a": [{"b": "x\uDBFF"}]}']
)
def test_half_a_surrogate_pair_is_a_fault(text: str) -> None:
    found = parse_object(text.encode())
    assert isinstance(found, UnreadableRow)
    assert found.reason == "text-undecodable"


@pytest.mark.parametrize("text", [r'{"a": "\ud83d\ude00"}', r'{"a": "\\ud800"}'])
def test_a_whole_pair_and_a_written_out_escape_are_text(text: str) -> None:
    assert parse_object(text.encode()) == json.loads(text)
