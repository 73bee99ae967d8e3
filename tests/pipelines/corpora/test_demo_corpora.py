"""The demo corpora: fetched by the real code, every row accounted for, ids unique and stable."""

from collections import Counter
from pathlib import Path

import pytest

from smolmix.media import MediaReader
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.sources.raw_units import count_rows, raw_units, read_unit
from smolmix.sample import Sample
from smolmix.workspace import Workspace

DEMO = tuple(name for name, source in SOURCES.items() if source.role == "demo")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    space = Workspace(tmp_path_factory.mktemp("demo"))
    for name in DEMO:
        assert fetch(SOURCES[name], space).fresh
    return space


def samples_of(corpus: str, workspace: Workspace) -> list[Sample]:
    source = SOURCES[corpus]
    found: list[Sample] = []
    for unit in raw_units(source, workspace):
        rows = 0
        for adapted in read_unit(source, unit, workspace):
            assert not adapted.dropped
            found += adapted.samples
            rows += 1
        assert rows == count_rows(source, unit, workspace)
    return found


@pytest.mark.parametrize("corpus", DEMO)
def test_every_row_becomes_samples_with_unique_ids(corpus: str, workspace: Workspace) -> None:
    samples = samples_of(corpus, workspace)
    assert samples
    assert len({s.id for s in samples}) == len(samples)
    if SOURCES[corpus].rows is not None:
        assert len(samples) == SOURCES[corpus].rows


@pytest.mark.parametrize("corpus", DEMO)
def test_fetching_again_brings_nothing(corpus: str, workspace: Workspace) -> None:
    before = workspace.raw(corpus).read_bytes("fetch.json")
    assert not fetch(SOURCES[corpus], workspace).fresh
    assert workspace.raw(corpus).read_bytes("fetch.json") == before


@pytest.mark.parametrize("corpus", DEMO)
def test_the_same_bytes_are_made_each_time(
    corpus: str, workspace: Workspace, tmp_path: Path
) -> None:
    again = Workspace(tmp_path)
    fetch(SOURCES[corpus], again)
    name = "fetch.json"
    assert again.raw(corpus).read_bytes(name) == workspace.raw(corpus).read_bytes(name)


def test_test_images_of_easy_vqa_are_held_out(workspace: Workspace) -> None:
    splits = Counter((s.split, s.subset) for s in samples_of("easy-vqa", workspace))
    assert splits == {("train", "train"): 38_575, ("heldout", "test"): 9_673}


def test_media_can_be_read_where_the_references_say(workspace: Workspace) -> None:
    heads = {"easy-vqa": b"\x89PNG", "easy-vqa-pairs": b"\x89PNG", "moving-shapes": b"ftyp"}
    reader, read = MediaReader(workspace), 0
    for corpus, head in heads.items():
        for sample in samples_of(corpus, workspace)[:20]:
            for medium in sample.media:
                assert head in reader.read(medium.refs[0])[:12]
                read += 1
    assert read == 20 + 40 + 20


def test_half_of_the_word_problems_declare_their_reasoning(workspace: Workspace) -> None:
    kinds = Counter(s.cot for s in samples_of("word-problems", workspace))
    assert kinds == {"declared": 1_000, "none": 1_000}


def test_pairs_answer_what_the_two_images_show(workspace: Workspace) -> None:
    samples = samples_of("easy-vqa-pairs", workspace)
    assert all(s.modality == "multi-image" and len(s.media) == 2 for s in samples)
    most = Counter(s.turns[1].text for s in samples).most_common(1)[0][1]
    assert most < len(samples) / 3


def test_a_range_of_rows_reads_only_those(workspace: Workspace) -> None:
    source = SOURCES["easy-vqa"]
    unit = raw_units(source, workspace)[0]
    every = [a.samples for a in read_unit(source, unit, workspace)]
    some = list(read_unit(source, unit, workspace, range(10, 20), frozenset({12})))
    assert [a.row for a in some] == [10, 11, *range(13, 20)]
    assert [a.samples for a in some] == [every[a.row] for a in some]
