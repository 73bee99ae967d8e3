from collections.abc import Callable

import polars as pl
import pytest

from smolmix.errors import IntegrityError
from smolmix.mixtures.built.run import build
from smolmix.mixtures.built.verify import verify_mixture
from smolmix.mixtures.spec.load import parse_spec
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
    assert found["draws"] > found["samples"] > 1000


def test_changed_picks_are_found(mixed: Workspace) -> None:
    path = mixed.mixture("t").local("picks.parquet")
    pl.read_parquet(path).reverse().write_parquet(path)
    with pytest.raises(IntegrityError, match=r"digest .* lock\.json says"):
        verify_mixture(mixed.mixture("t"), mixed)


def test_a_cap_broken_at_a_prefix_is_found(
    mixed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = build(parse_spec(SPEC, "t.yaml"), mixed)
    monkeypatch.setattr("smolmix.mixtures.built.verify.digest_picks", lambda *_: lock.picks)
    path = mixed.mixture("t").local("picks.parquet")
    pl.read_parquet(path).reverse().write_parquet(path)
    with pytest.raises(IntegrityError, match="chain of thought"):
        verify_mixture(mixed.mixture("t"), mixed)


def test_picks_of_a_corpus_curated_again_are_refused(
    mixed: Workspace, corpus: Callable[..., None]
) -> None:
    corpus("a", 20, parts=3)
    with pytest.raises(IntegrityError, match="picks rows of a as curated before"):
        verify_mixture(mixed.mixture("t"), mixed)
