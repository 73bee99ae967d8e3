from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.selections import replace_selection

from smolmix.errors import IntegrityError, StaleError
from smolmix.mixtures.built.run import build
from smolmix.mixtures.built.verify import verify_mixture
from smolmix.mixtures.selection.reader import write_selection
from smolmix.mixtures.spec.load import parse_spec
from smolmix.storage import Folder
from smolmix.workspace import Workspace

SPEC = {
    "name": "t",
    "profile": {"preset": "nano", "style": "inference"},
    "components": {"a": {"corpus": "a"}, "b": {"corpus": "b", "epochs": 2}},
    "shares": {"component": {"b": 0.4}},
    "caps": {"cot": 0.01, "cot_detected": 0.1},
}


@pytest.fixture
def mixed(corpus: Callable[..., None], workspace: Workspace) -> Workspace:
    kinds = ["none", "none", "declared", "detected"]
    corpus("a", 2000, parts=3, cot=[kinds[i % 4] for i in range(2000)])
    corpus("b", 400, modality="text")
    build(parse_spec(SPEC, "t.yaml"), workspace)
    return workspace


def test_a_built_mixture_is_right(mixed: Workspace) -> None:
    found = verify_mixture(mixed.mixture("t"), mixed)
    assert found["samples_drawn"] > found["distinct_samples"] > 1000


def _backwards(mixture: Folder) -> pa.Table:
    table = pq.read_table(mixture.local("selection.parquet"))
    return table.take(list(range(table.num_rows - 1, -1, -1)))


def test_a_changed_selection_is_found(mixed: Workspace) -> None:
    mixture = mixed.mixture("t")
    write_selection(mixture, [_backwards(mixture)], 0)
    with pytest.raises(IntegrityError, match=r"digest .* lock\.json says"):
        verify_mixture(mixed.mixture("t"), mixed)


def test_a_cap_broken_at_a_prefix_is_found(mixed: Workspace) -> None:
    mixture = mixed.mixture("t")
    replace_selection(mixture, _backwards(mixture))
    with pytest.raises(IntegrityError, match="chain of thought"):
        verify_mixture(mixed.mixture("t"), mixed)


def test_a_selection_of_a_corpus_curated_again_is_refused(
    mixed: Workspace, corpus: Callable[..., None]
) -> None:
    corpus("a", 20, parts=3)
    with pytest.raises(StaleError, match="a was curated again"):
        verify_mixture(mixed.mixture("t"), mixed)
