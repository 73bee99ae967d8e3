"""Near duplicates among texts: words in batches, pairs in partitions, groups across corpora."""

import random
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from smolmix import removals
from smolmix.engine.stage import RunOptions
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.across import across
from smolmix.pipelines.curate.dedup.inputs import DedupInput
from smolmix.pipelines.curate.dedup.text import near_duplicates, shingles
from smolmix.pipelines.curate.dedup.text.shingles import Words
from smolmix.pipelines.curate.steps import Steps
from smolmix.removals import set_folder
from smolmix.workspace import Workspace, part_files, stage_record

Make = Callable[..., Any]
Curate = Callable[..., Any]


@given(st.lists(st.text(max_size=60), max_size=6), st.integers(1, 6))
def test_words_and_shingles_of_a_batch_are_those_of_each_text(texts: list[str], size: int) -> None:
    texts = [t.encode(errors="replace").decode() for t in texts]  # Arrow holds no lone surrogates
    found = Words.of(texts)
    runs = found.shingles(size)
    assert len(found.offsets) == len(runs.offsets) == len(texts) + 1
    for i, text in enumerate(texts):
        said = shingles.words(text)
        own = slice(found.offsets[i], found.offsets[i + 1])
        assert found.hashes[own].tolist() == said.tolist()
        whole = shingles.runs(said, min(size, max(1, len(said))))
        own = slice(runs.offsets[i], runs.offsets[i + 1])
        assert runs.hashes[own].tolist() == whole.tolist()


def test_the_key_of_numbers_is_that_of_a_multiset() -> None:
    texts = ["3 apples, 4 pears", "4 pears and 3 apples", "3 apples, 5 pears", "3 3 4", "3 4 4", ""]
    keys = Words.of(texts).numbers().tolist()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
    assert keys[5] == 0


def key_of(sample_id: str) -> str:
    return sample_id.rsplit("/", 1)[-1].rsplit("-", 1)[0]


def _many_copies(corpus: Any, groups: int) -> None:
    rng = random.Random(3)
    known = ["".join(rng.choices("abcdefghijk", k=6)) for _ in range(900)]
    for group in range(groups):
        words = rng.choices(known, k=90)
        for copy in range(3):
            said = [*words, *(["and"] * copy)]
            corpus.add(f"g{group}c{copy}", ("assistant", " ".join(said)))


def test_partitions_of_pairs_change_no_removal(
    planted: Make, curated: Curate, workspace: Workspace
) -> None:
    corpus = planted()
    _many_copies(corpus, 12)
    found = curated(corpus.write(files=2))
    assert set(found.kept) == {f"g{n}c2" for n in range(12)}  # the longest copy is kept
    assert {d.reason for d in found.dropped.values()} == {"duplicate-near-text"}
    assert len(found.dropped) == 24
    steps = Steps(workspace=workspace, options=RunOptions(quiet=True))
    left = DedupInput(corpus="planted", filtered=steps.folder("filter", "planted").url)
    settings, tables = policies.load("default").dedup.text, list[Any]()
    for pairs in (500_000, 7):
        folder = near_duplicates.find(steps, "tried", [left], settings, partition_pairs=pairs)
        tables.append(removals.read(folder))
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows == 24
    assert len(stage_record(steps.folder("text-pairs", "tried")).units) > 3


def test_of_copies_in_two_corpora_the_one_first_by_priority_stays(
    planted: Make, curated: Curate, workspace: Workspace
) -> None:
    for name in ("aa", "zz"):
        corpus, rng = planted(name), random.Random(5)
        for number in range(5):
            words = ["".join(rng.choices("abcdefghijk", k=6)) for _ in range(70)]
            corpus.add(f"{name}{number}", ("assistant", " ".join([*words, name])))
        assert len(curated(corpus.write()).kept) == 5
    rules = policies.parse("dedup:\n  priority: [zz]\n", "mine.yaml")
    across(["aa", "zz"], rules, workspace, options=RunOptions(quiet=True))
    folder = set_folder(workspace, ["aa", "zz"])
    (name,) = part_files(folder, ".parquet")
    rows = pq.read_table(folder.local(name)).to_pylist()
    assert sorted(key_of(r["id"]) for r in rows) == [f"aa{n}" for n in range(5)]
    assert sorted(key_of(r["kept_id"]) for r in rows) == [f"zz{n}" for n in range(5)]
