from typing import Any

import pytest

from smolmix.errors import UsageError
from smolmix.mixtures.spec.catalogue import (
    CatalogueRow,
    check_corpora,
    check_gated,
    corpora_of,
    published,
)
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec

CATALOGUE = {
    "charts": CatalogueRow(id="charts", rows=90, subsets={"a": 10, "b": 20, "c": None}),
    "exam": CatalogueRow(id="exam", role="benchmark"),
    "locked": CatalogueRow(id="locked", gated=True),
}


def spec(**components: Any) -> Spec:
    return parse_spec({"name": "t", "components": components}, "t.yaml").spec


def test_each_unknown_corpus_and_benchmark_has_its_line() -> None:
    one = spec(
        x={"corpus": "chart"},
        y={"corpus": "exam"},
        z={"corpus": "charts"},
        gone={"corpus": "nowhere", "unpublished": "an internal file"},
    )
    with pytest.raises(UsageError) as caught:
        check_corpora(one, CATALOGUE, "t.yaml")
    first, second = str(caught.value).splitlines()
    assert first.startswith("t.yaml: components.x.corpus is 'chart'; no such corpus")
    assert "did you mean 'charts'?" in first
    assert second.startswith("t.yaml: components.y.corpus is 'exam'; a benchmark")


def test_a_gated_corpus_is_refused_until_it_is_fetched() -> None:
    one = spec(x={"corpus": "locked"})
    with pytest.raises(UsageError, match="'locked', which is gated"):
        check_gated(one, CATALOGUE, set(), "t.yaml")
    check_gated(one, CATALOGUE, {"locked"}, "t.yaml")


@pytest.mark.parametrize(
    ("subset", "samples"), [((), 90), (("a",), 10), (("a", "b"), 30), (("a", "c"), None)]
)
def test_declared_rows_are_known_where_those_of_every_subset_are(
    subset: tuple[str, ...], samples: int | None
) -> None:
    assert CATALOGUE["charts"].samples(subset) == samples


def test_a_build_reads_the_corpora_of_public_components_once() -> None:
    one = spec(
        x={"corpus": "b", "subset": "1"},
        y={"corpus": "b", "subset": "2"},
        z={"corpus": "a"},
        gone={"corpus": "c", "unpublished": "an internal file"},
    )
    assert published(one) == ["x", "y", "z"]
    assert corpora_of(one) == ["a", "b"]
