from collections.abc import Callable

import pytest

from smolmix.errors import DataError, InfeasibleError, UsageError
from smolmix.mixtures.built.run import build, rebuild
from smolmix.mixtures.selection.lock import read_lock
from smolmix.mixtures.selection.reader import selection_digest
from smolmix.mixtures.spec.load import parse_spec
from smolmix.workspace import Workspace

Corpus = Callable[..., None]
NANO = {"preset": "nano", "style": "inference"}


def spec(**changes: object) -> dict[str, object]:
    return {
        "name": "t",
        "profile": NANO,
        "components": {"images": {"corpus": "images"}, "texts": {"corpus": "texts"}},
        **changes,
    }


@pytest.fixture
def two(corpus: Corpus, workspace: Workspace) -> Workspace:
    corpus("images", 900, parts=3)
    corpus("texts", 300, modality="text", visual_tokens=0)
    return workspace


def test_shares_and_total_are_achieved(two: Workspace) -> None:
    raw = spec(shares={"modality": {"text": 0.14}}, total=500)
    lock = build(parse_spec(raw, "t.yaml"), two)
    assert lock.samples == 500
    assert lock.achieved["shares.modality.text"] == pytest.approx(0.14, abs=1e-3)


def test_without_a_total_the_mixture_is_as_large_as_possible(two: Workspace) -> None:
    raw = spec(shares={"modality": {"text": 0.5}})
    assert build(parse_spec(raw, "t.yaml"), two).samples == 600


def test_a_lock_is_reproduced_and_a_change_is_named(two: Workspace, corpus: Corpus) -> None:
    first = build(parse_spec(spec(total=700), "t.yaml"), two)
    folder = two.mixture("t")
    assert selection_digest(folder, 0) == first.selection
    assert rebuild(read_lock(folder), two, "lock.json").selection == first.selection
    corpus("texts", 301, modality="text")
    with pytest.raises(DataError, match="texts: curated was"):
        rebuild(first, two, "lock.json")


def test_an_infeasible_spec_names_the_conflict_and_the_nearest_total(two: Workspace) -> None:
    raw = spec(shares={"modality": {"text": 0.5}}, total=1000)
    with pytest.raises(InfeasibleError) as caught:
        build(parse_spec(raw, "t.yaml"), two)
    text = str(caught.value)
    assert "shares.modality.text" in text
    assert "total 600 samples" in text
    assert not two.mixture("t").exists("selection.parquet")


def test_two_components_with_the_same_sample_are_refused(two: Workspace) -> None:
    raw = spec(components={"a": {"corpus": "images"}, "b": {"corpus": "images"}})
    with pytest.raises(UsageError, match="both hold images/0"):
        build(parse_spec(raw, "t.yaml"), two)


def test_a_build_killed_at_its_selection_leaves_the_lock_it_is_built_from(two: Workspace) -> None:
    lock = build(parse_spec(spec(total=700), "t.yaml"), two)
    folder = two.mixture("t")
    before = folder.read_bytes("lock.json")
    folder.remove("selection.parquet")
    folder.local("selection.parquet").mkdir()  # so that writing them fails
    (folder.local("selection.parquet") / "in the way").touch()
    with pytest.raises(OSError, match=r"selection\.parquet"):
        rebuild(lock, two, "lock.json")
    assert folder.read_bytes("lock.json") == before
