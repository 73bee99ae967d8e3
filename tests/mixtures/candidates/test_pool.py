from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from smolmix.errors import UsageError
from smolmix.mixtures.candidates.pool import Pool, families, fields, lacking, load_pool
from smolmix.mixtures.candidates.previous_selection import Previous
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec
from smolmix.profiles import profile
from smolmix.workspace import Workspace

Corpus = Callable[..., None]
NANO = {"preset": "nano", "style": "inference"}


def spec(components: dict[str, Any], **keys: Any) -> Spec:
    raw = {"name": "t", "profile": NANO, "components": components, **keys}
    return parse_spec(raw, "t.yaml").spec


def pool(workspace: Workspace, one: Spec, **keys: Any) -> Pool:
    name = profile("nano", style="inference").name
    return load_pool(one, workspace, name, list(one.components), "t.yaml", **keys)


def test_samples_are_in_order_of_corpus_part_and_row(corpus: Corpus, workspace: Workspace) -> None:
    corpus("b", 5)
    corpus("a", 7, parts=2)
    found = pool(workspace, spec({"x": {"corpus": "b"}, "y": {"corpus": "a"}}))
    expected = [f"a/{i}" for i in range(7)] + [f"b/{i}" for i in range(5)]
    assert found.ids.to_pylist() == expected
    assert found.row.tolist() == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert [found.parts[p] for p in sorted(set(found.part.tolist()))] == [
        ("a", "part-00000"),
        ("a", "part-00001"),
        ("b", "part-00000"),
    ]
    assert found.hashes.tolist() == hash_ids(pa.array(expected), 0).tolist()


def test_every_curated_sample_is_a_candidate_or_counted_as_excluded(
    corpus: Corpus, workspace: Workspace
) -> None:
    corpus(
        "a", 40,
        split=["heldout" if i < 4 else "train" for i in range(40)],
        text_tokens=list(range(40)), visual_tokens=0, duration_s=[float(i) for i in range(40)],
    )  # fmt: skip
    one = spec(
        {"x": {"corpus": "a", "where": "text_tokens != 9"}},
        where="text_tokens != 8",
        caps={"tokens_per_sample": 35, "duration_s": {"max": 30}},
    )
    found = pool(workspace, one, removed=pa.array(["a/7"]))
    assert found.excluded == {
        "caps.duration_s.max": 9,
        "held out for evaluation": 4,
        "in no component": 1,
        "removed across corpora": 1,
        "where": 1,
    }
    assert len(found) + sum(found.excluded.values()) == 40


def test_a_component_with_a_previous_selection_holds_that_alone(
    corpus: Corpus, workspace: Workspace
) -> None:
    corpus("a", 9)
    previous = {"x": Previous(ids=pa.array(["a/2", "a/5", "a/99"]), drawn=3)}
    found = pool(workspace, spec({"x": {"corpus": "a", "take": "all"}}), previous=previous)
    assert found.ids.to_pylist() == ["a/2", "a/5"]
    assert found.previous == {"x": 3}


def test_a_sample_of_two_components_is_refused(corpus: Corpus, workspace: Workspace) -> None:
    corpus("a", 9, text_tokens=list(range(9)))
    both = {
        "x": {"corpus": "a", "where": "text_tokens <= 5"},
        "y": {"corpus": "a", "where": "text_tokens >= 5"},
    }
    with pytest.raises(UsageError, match=r"components\.y and components\.x both hold a/5"):
        pool(workspace, spec(both))


def test_the_subset_that_a_corpus_lacks_is_named_with_the_nearest(
    corpus: Corpus, workspace: Workspace
) -> None:
    corpus("a", 4, subset=["charts", "charts", "plots", ""])
    components = spec(
        {"x": {"corpus": "a", "subset": "chart"}, "y": {"corpus": "a", "subset": "plots"}}
    ).components
    assert lacking(components["x"], workspace) == (
        ": it has no subset 'chart', but charts, plots; did you mean 'charts'?"
    )
    assert lacking(components["y"], workspace) == ""


def test_fields_are_those_that_conditions_and_shares_name() -> None:
    one = spec(
        {"x": {"corpus": "a", "where": "tags.answer == colour"}},
        where="duration_s <= 3",
        shares={"language": {"en": 0.5}, "component": {"x": {"min": 0.1}}},
    )
    assert set(families(one)) == {"modality", "category", "cot", "licence", "language"}
    assert fields(one) == {*families(one), "tags.answer", "duration_s"}
