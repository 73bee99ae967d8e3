"""What every corpus keeps: one test over the registry, with a fixture of its published shape."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smolmix.media import MediaReader
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.sources.raw_units import RawUnit, count_rows, raw_units, read_unit
from smolmix.pipelines.sources.source import Source
from smolmix.sample import FIND, Dropped, Sample
from smolmix.schema import from_table, to_table
from smolmix.workspace import Workspace

Publish = Callable[..., dict[str, Any]]
Install = Callable[..., Workspace]

PUBLISHED = tuple(n for n, s in SOURCES.items() if s.role != "demo" and not s.refused)
PAPERS = """
    dolma-books the-stack-v1 starcoderdata the-stack-v2 fineweb-edu dclm-baseline
    dclm-baseline-parquet finemath infiwebmath open-web-math infimm-webmath-40b smoltalk
    ov-magpie-l3-mt ov-magpie-l3-st ov-magpie-qwen2-st ov-mathqa magpie-pro-300k cot-mammoth
    llava-cot-100k the-cauldron docmatix docmatix-pdf docmatix-zeroshot mathwriting
    llava-onevision-data finevision m4-instruct mammoth-vl-12m llava-video-178k llava-hound
    video-star vript sharegpt4video vista-400k moviechat-1k-train finevideo
"""
REFUSED = tuple(n for n, s in SOURCES.items() if s.refused)


class Outcome:
    """Everything a corpus became."""

    def __init__(self, source: Source, workspace: Workspace):
        self.rows = self.expected_rows = 0
        self.samples: list[Sample] = []
        self.dropped: list[Dropped] = []
        self.turns_dropped: Counter[str] = Counter()
        self.units: list[RawUnit] = raw_units(source, workspace)
        for unit in self.units:
            self.expected_rows += count_rows(source, unit, workspace)
            for adapted in read_unit(source, unit, workspace):
                whole = [d for d in adapted.dropped if d.rows]
                assert len(whole) <= 1
                assert bool(whole) != bool(adapted.samples or adapted.dropped[len(whole) :])
                self.rows += 1
                self.samples += adapted.samples
                self.dropped += adapted.dropped
                self.turns_dropped.update(adapted.turns_dropped)


def check_sample(sample: Sample, source: Source) -> None:
    assert sample.id.startswith(f"{source.id}/")
    assert sample.corpus == source.id
    assert sample.licence
    assert sample.category
    assert sample.turns[-1].role == "assistant"
    shown = [p.media for t in sample.turns for p in t.parts if p.media is not None]
    assert sorted(shown) == list(range(len(sample.media)))
    for turn in sample.turns:
        assert turn.role != "assistant" or turn.text.strip()
        assert all((p.text is None) != (p.media is None) for p in turn.parts)
    kinds = {"text": 0, "image": 1, "video": 1}
    assert len(sample.media) == kinds.get(sample.modality, len(sample.media))
    assert (sample.modality == "video") == any(m.kind != "image" for m in sample.media)
    assert not any(r.uri.startswith(FIND) for m in sample.media for r in m.refs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_rows_become_valid_samples_and_reasoned_drops(
    name: str, publish: Publish, install: Install, tmp_path: Path
) -> None:
    source = SOURCES[name]
    fixture = publish(source, tmp_path / "hub")
    workspace = install(source, tmp_path / "hub", tmp_path / "ws")
    found = Outcome(source, workspace)
    expect = fixture["expect"]
    assert Counter(d.reason for d in found.dropped) == Counter(expect["dropped"])
    assert found.turns_dropped == Counter(expect["turns_dropped"])
    assert len(found.samples) == expect["samples"] > 0
    assert found.rows == found.expected_rows
    for sample in found.samples:
        check_sample(sample, source)
    assert len({s.id for s in found.samples}) == len(found.samples)
    assert sum(s.split == "heldout" for s in found.samples) == fixture.get("heldout", 0)
    assert list(from_table(to_table(found.samples))) == found.samples
    reader = MediaReader(workspace)
    for sample in found.samples:
        for medium in sample.media:
            assert all(reader.read(ref) for ref in medium.refs)
    if "licences" in fixture:
        assert {s.licence for s in found.samples} == set(fixture["licences"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_ids_do_not_depend_on_the_order_of_rows(
    name: str, publish: Publish, install: Install, tmp_path: Path
) -> None:
    source = SOURCES[name]
    ids = []
    for backwards in (False, True):
        here = tmp_path / str(backwards)
        publish(source, here / "hub", backwards=backwards)
        workspace = install(source, here / "hub", here / "ws")
        ids.append(sorted(s.id for s in Outcome(source, workspace).samples))
    assert ids[0] == ids[1] != []


@pytest.mark.parametrize("name", PUBLISHED)
def test_samples_do_not_depend_on_how_rows_are_cut_into_units(
    name: str, publish: Publish, install: Install, tmp_path: Path
) -> None:
    source = SOURCES[name]
    publish(source, tmp_path / "hub")
    workspace = install(source, tmp_path / "hub", tmp_path / "ws")
    whole = Outcome(source, workspace)
    small = {"cut_bytes": 64, "unit_rows": 2}
    finer = {name: value for name, value in small.items() if hasattr(source.format, name)}
    parts = Outcome(replace(source, format=replace(source.format, **finer)), workspace)  # type: ignore[type-var]  # every format is a dataclass
    assert parts.samples == whole.samples
    assert parts.dropped == whole.dropped
    singles = [
        a
        for unit in whole.units
        for row in range(count_rows(source, unit, workspace))
        for a in read_unit(source, unit, workspace, range(row, row + 1))
    ]
    assert [s for a in singles for s in a.samples] == whole.samples


_WORKER = """
import sys
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.workspace import Workspace
source, workspace = SOURCES[sys.argv[1]], Workspace(sys.argv[2])
for unit in raw_units(source, workspace)[int(sys.argv[3]) :: 2]:
    for adapted in read_unit(source, unit, workspace):
        for sample in adapted.samples:
            print(sample)
"""


def test_samples_do_not_depend_on_the_process_that_reads_them(
    publish: Publish, install: Install, tmp_path: Path
) -> None:
    source = SOURCES["vript"]
    publish(source, tmp_path / "hub")
    workspace = install(source, tmp_path / "hub", tmp_path / "ws")
    apart = ""
    for worker in (0, 1):
        call = [sys.executable, "-c", _WORKER, source.id, workspace.url, str(worker)]
        apart += subprocess.run(
            call,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
            env={**os.environ, "PYTHONHASHSEED": str(worker)},
        ).stdout
    here = [str(s) for s in Outcome(source, workspace).samples]
    assert sorted(apart.splitlines()) == sorted(here)
    assert len(here) > 3


@pytest.mark.parametrize("name", SOURCES)
def test_the_catalogue_says_what_a_user_must_know(name: str) -> None:
    source = SOURCES[name]
    assert source.id == name
    assert source.title
    assert source.licence
    assert source.hub_id
    assert source.verified or source.unverified, "say what could not be verified"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fetched_says_why_and_what_to_use(name: str, tmp_path: Path) -> None:
    from smolmix.errors import UsageError
    from smolmix.pipelines.fetch.run import fetch

    with pytest.raises(UsageError, match=r"use |fetch "):
        fetch(SOURCES[name], Workspace(tmp_path))


def test_the_registry_is_alphabetical_and_names_every_corpus_of_the_facts() -> None:
    assert list(SOURCES) == sorted(SOURCES)
    assert len(PAPERS.split()) == 36
    assert set(PAPERS.split()) <= set(SOURCES)
    assert sum(s.role == "benchmark" for s in SOURCES.values()) == 14
