"""Units cover every row once; media are found by name, or their absence has a reason."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smolmix.errors import IncompleteError
from smolmix.fetched import INDEX, FetchedFile, FetchRecord
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.formats.media_index import IndexEntry, write_index
from smolmix.pipelines.sources.raw_units import RawUnit, count_rows, raw_units, read_unit
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Local, Source
from smolmix.sample import MediaRef, Sample, turns_of
from smolmix.workspace import Workspace

ROWS = 60


def _adapt(row: Row) -> Iterator[Sample]:
    if row.values.get("refuse"):
        raise RowError("refused", "by the adapter")
    media = (row.find(row.text("image")),) if "image" in row.values else ()
    turns = turns_of(("user", [*range(len(media)), "Q"]), ("assistant", row.text("text")))
    yield row.sample(turns=turns, category="x", media=media)


SOURCE = Source(
    id="own",
    title="Own",
    role="user",
    modality="image",
    licence="MIT",
    origin=Local(url="."),
    format=JsonLines(cut_bytes=300),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    subset_of=r"(\w+)\.jsonl",
    heldout="test",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def _put(workspace: Workspace, rows: list[dict[str, Any]], **about: Any) -> FetchRecord:
    record = FetchRecord(corpus="own", revision="r", complete=True, **about)
    files = []
    for name in ("test.jsonl", "train.jsonl"):
        data = "".join(json.dumps(row | {"file": name}) + "\n" for row in rows).encode()
        workspace.write_bytes(f"{record.root}/{name}", data)
        files.append(FetchedFile(path=f"{record.root}/{name}", size=len(data), sha256=name))
    record = record.with_files(files)
    record.write(workspace)
    return record


def _samples(workspace: Workspace, units: list[RawUnit]) -> list[Sample]:
    return [s for u in units for a in read_unit(SOURCE, u, workspace) for s in a.samples]


def test_units_cover_every_row_once_and_say_subset_and_split(workspace: Workspace) -> None:
    _put(workspace, [{"text": f"row {n}"} for n in range(ROWS)])
    units = raw_units(SOURCE, workspace)
    assert len(units) > 4
    assert sum(count_rows(SOURCE, unit, workspace) for unit in units) == 2 * ROWS
    found = _samples(workspace, units)
    assert [(s.source_file, s.source_row) for s in found] == [
        (f"raw/own/r/{name}", n) for name in ("test.jsonl", "train.jsonl") for n in range(ROWS)
    ]
    assert {(s.subset, s.split) for s in found} == {("test", "heldout"), ("train", "train")}


def test_a_part_of_a_unit_is_that_part(workspace: Workspace) -> None:
    _put(workspace, [{"text": f"row {n}"} for n in range(ROWS)])
    unit = max(raw_units(SOURCE, workspace), key=lambda u: count_rows(SOURCE, u, workspace))
    every = list(read_unit(SOURCE, unit, workspace))
    assert list(read_unit(SOURCE, unit, workspace, range(3, 7))) == every[3:7]
    skipped = list(read_unit(SOURCE, unit, workspace, skip=frozenset({0, 4})))
    assert skipped == [a for a in every if a.row not in (0, 4)]


def test_a_limit_gives_the_first_rows_in_order_of_path(workspace: Workspace) -> None:
    record = _put(workspace, [{"text": f"row {n}"} for n in range(ROWS)])
    replace(record, scope={"limit": ROWS + 7}).write(workspace)
    assert len(_samples(workspace, raw_units(SOURCE, workspace))) == ROWS + 7


def test_every_row_without_a_sample_has_a_reason(workspace: Workspace) -> None:
    _put(workspace, [{"text": "a"}, {"refuse": True}, {"text": ""}])
    adapted = [a for u in raw_units(SOURCE, workspace) for a in read_unit(SOURCE, u, workspace)]
    assert [[d.reason for d in a.dropped] for a in adapted] == 2 * [[], ["refused"], ["text-empty"]]
    assert all(d.rows == 1 for a in adapted for d in a.dropped)


@pytest.mark.parametrize(
    ("scope", "reasons"),
    [
        ({}, ["media-missing"] * 2),
        ({"annotations": True}, []),
        ({"annotations": True, "selected": "x"}, ["media-not-selected"] * 2),
    ],
)
def test_the_scope_of_the_fetch_decides_on_media_that_are_absent(
    workspace: Workspace, scope: dict[str, Any], reasons: list[str]
) -> None:
    record = _put(workspace, [{"text": "a", "image": "a.png"}, {"text": "b", "image": "b.png"}])
    index = workspace.child(record.root, INDEX)
    write_index(index, "loose.parquet", [IndexEntry(path="a.png", ref=MediaRef(uri="a.png"))])
    replace(record, scope=scope).write(workspace)
    adapted = [a for u in raw_units(SOURCE, workspace) for a in read_unit(SOURCE, u, workspace)]
    assert [d.reason for a in adapted for d in a.dropped] == reasons
    named = [s for a in adapted for s in a.samples if s.media[0].names]
    assert len(named) == (4 if scope == {"annotations": True} else 0)


def test_a_corpus_without_its_rows_cannot_be_read(workspace: Workspace) -> None:
    with pytest.raises(IncompleteError, match="own is not fetched"):
        raw_units(SOURCE, workspace)
    record = _put(workspace, [{"text": "a"}])
    replace(record, scope={"selected": "x"}).write(workspace)
    with pytest.raises(IncompleteError, match="only the media that a mixture needs"):
        raw_units(SOURCE, workspace)
    replace(record, complete=False).write(workspace)
    with pytest.raises(IncompleteError, match="stopped half-way"):
        raw_units(SOURCE, workspace)


def test_another_adapter_version_or_other_media_change_what_units_depend_on(
    workspace: Workspace,
) -> None:
    record = _put(workspace, [{"text": "a"}])
    before = [u.files for u in raw_units(SOURCE, workspace)]
    assert [u.files for u in raw_units(SOURCE, workspace)] == before
    assert [u.files for u in raw_units(replace(SOURCE, version=2), workspace)] != before
    media = FetchedFile(path="raw/own/r/a.tar", size=1, sha256="m")
    record.with_files([*record.files, media]).write(workspace)
    assert [u.files for u in raw_units(SOURCE, workspace)] != before
