"""Which samples a component may use, and which of them `take` chooses."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.support.cross_corpus import write_cross_corpus

from smolmix.errors import IncompleteError, UsageError
from smolmix.mixtures.built.run import build
from smolmix.mixtures.built.verify import verify_mixture
from smolmix.mixtures.selection.lock import Lock
from smolmix.mixtures.spec.load import parse_spec
from smolmix.removals import Removal
from smolmix.workspace import Workspace

Corpus = Callable[..., None]


def mix(workspace: Workspace, components: Any, **more: Any) -> tuple[Lock, pl.DataFrame]:
    spec = {
        "name": "t",
        "profile": {"preset": "nano", "style": "inference"},
        "components": components,
        **more,
    }
    lock = build(parse_spec(spec, "t.yaml"), workspace)
    return lock, pl.read_parquet(workspace.mixture("t").local("selection.parquet"))


def rows(selection: pl.DataFrame) -> list[int]:
    return sorted(int(i.split("/")[-1]) for i in selection["id"].to_list())


def test_take_follows_the_released_rules(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 101)
    shuffled = list(range(101))
    random.Random(42).shuffle(shuffled)
    expected = {
        "first": list(range(11)),
        "end": list(range(90, 101)),
        "random": sorted(shuffled[:11]),
    }
    for rule, wanted in expected.items():
        _, selection = mix(workspace, {"a": {"corpus": "a", "take": "10 %", "rule": rule}})
        assert rows(selection) == wanted, rule
    assert len(expected) == 3


def test_a_smaller_take_lies_within_a_larger_one(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 300)
    few = mix(workspace, {"a": {"corpus": "a", "take": 50}})[1]
    many = mix(workspace, {"a": {"corpus": "a", "take": 120}})[1]
    assert set(rows(few)) < set(rows(many))
    assert (few.height, many.height) == (50, 120)


def test_epochs_are_used_as_evenly_as_possible(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 40)
    lock, selection = mix(workspace, {"a": {"corpus": "a", "take": 100, "epochs": 3}})
    times = Counter(selection["id"].to_list())
    assert sorted(set(times.values())) == [2, 3]
    assert len(times) == 40
    repeats = selection.group_by("id").agg(pl.col("repeat").sort()).get_column("repeat").to_list()
    assert all(r == list(range(len(r))) for r in repeats)
    assert lock.licences == {"MIT": 100}


def test_a_take_beyond_the_epochs_is_refused(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 40)
    with pytest.raises(UsageError, match="take is 81 samples; 40 are available"):
        mix(workspace, {"a": {"corpus": "a", "take": 81, "epochs": 2}})


def test_conditions_subsets_and_caps_leave_samples_out(
    corpus: Corpus, workspace: Workspace
) -> None:
    n = 60
    corpus(
        "a",
        n,
        subset=["s" if i % 2 else "t" for i in range(n)],
        licence=["CC-BY-NC-4.0" if i % 3 == 0 else "MIT" for i in range(n)],
        split=["heldout" if i < 6 else "train" for i in range(n)],
        text_tokens=list(range(n)),
        visual_tokens=0,
        tags=[[("answer", "yes-no" if i < 30 else "colour")] for i in range(n)],
    )
    lock, selection = mix(
        workspace,
        {"a": {"corpus": "a", "subset": "s", "where": ["tags.answer == colour"]}},
        where="licence not in {CC-BY-NC-4.0}",
        caps={"tokens_per_sample": 50},
    )
    assert rows(selection) == [i for i in range(30, 51) if i % 2 and i % 3]
    assert lock.excluded["held out for evaluation"] == 6
    assert sum(lock.excluded.values()) + selection.height == n


def test_video_length_is_capped_and_shaped(corpus: Corpus, workspace: Workspace) -> None:
    length = np.random.default_rng(0).uniform(1, 400, 2000)
    corpus("v", 2000, modality="video", duration_s=length)
    lock, selection = mix(
        workspace, {"v": {"corpus": "v"}}, caps={"duration_s": {"max": 350, "mean": 210}}
    )
    picked = length[rows(selection)]
    assert picked.max() <= 350
    assert picked.mean() == pytest.approx(210, rel=0.011)
    assert lock.achieved["caps.duration_s.mean"] == pytest.approx(picked.mean())


def test_shares_of_tokens_are_those_of_the_selection(corpus: Corpus, workspace: Workspace) -> None:
    tokens = np.random.default_rng(1).integers(1, 3000, 3000)
    corpus("t", 3000, modality="text", text_tokens=tokens, visual_tokens=0)
    corpus("i", 9000)
    _, selection = mix(
        workspace,
        {"t": {"corpus": "t"}, "i": {"corpus": "i"}},
        unit="tokens",
        shares={"modality": {"text": 0.14}},
    )
    text = tokens[rows(selection.filter(pl.col("corpus") == "t"))].sum()
    image = 60 * selection.filter(pl.col("corpus") == "i").height
    assert text / (text + image) == pytest.approx(0.14, abs=1e-3)


def test_copies_across_corpora_are_left_out(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 10)
    corpus("b", 10)
    copy = Removal(
        part="part-00000", row=3, id="b/3", stage="dedup", reason="duplicate-exact", kept_id="a/3"
    )
    write_cross_corpus(workspace, ["b", "a"], copy)
    both = {"a": {"corpus": "a"}, "b": {"corpus": "b"}}
    lock, selection = mix(workspace, both)
    assert (selection.height, lock.excluded["removed across corpora"]) == (19, 1)
    assert "b/3" not in selection["id"].to_list()
    assert lock.removals
    alone, _ = mix(workspace, {"b": {"corpus": "b"}})
    assert (alone.samples, alone.removals) == (10, "")


def test_a_corpus_that_is_not_curated_names_the_verb(workspace: Workspace) -> None:
    with pytest.raises(IncompleteError, match=r"not curated in .*: nothing; run"):
        mix(workspace, {"x": {"corpus": "nothing"}})


def test_a_component_without_samples_is_refused(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 10)
    with pytest.raises(UsageError, match=r"components\.x: no sample of a is available"):
        mix(workspace, {"x": {"corpus": "a", "subset": "none"}})


def test_a_component_of_held_out_samples_alone_says_so(
    corpus: Corpus, workspace: Workspace
) -> None:
    corpus("a", 10, split="heldout")
    with pytest.raises(UsageError, match=r"of a is available.*10 held out for evaluation"):
        mix(workspace, {"x": {"corpus": "a"}})


def test_a_share_of_a_tag_nobody_carries_is_refused(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 10)
    with pytest.raises(UsageError, match="no sample has modality 'video'; known: image"):
        mix(workspace, {"a": {"corpus": "a"}}, shares={"modality": {"video": 0.2}})


def test_a_components_category_is_a_label_for_its_samples(
    corpus: Corpus, workspace: Workspace
) -> None:
    corpus("a", 100)
    corpus("b", 100)
    lock, _ = mix(
        workspace,
        {"a": {"corpus": "a", "category": "Mathematics"}, "b": {"corpus": "b"}},
        shares={"category": {"Mathematics": 0.2}},
    )
    assert lock.samples == 125


def test_an_id_that_is_there_twice_is_used_once(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 4, id=["a/1", "a/2", "a/1", "a/3"])
    corpus("b", 3, parts=3, id=["b/1", "b/1", "b/1"])
    raw = {n: {"corpus": n} for n in ("a", "b")}
    lock, selection = mix(workspace, raw, caps={"epochs": 2})
    assert sorted(selection["id"].to_list()) == sorted(["a/1", "a/2", "a/3", "b/1"] * 2)
    assert lock.excluded == {"same id as an earlier sample": 3}
    assert set(selection.filter(pl.col("id") == "b/1")["part"]) == {"part-00000"}
    assert verify_mixture(workspace.mixture(lock.name), workspace)["distinct_samples"] == 4
