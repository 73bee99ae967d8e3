"""Clusters of pairs are connected components, whatever the order of the pairs."""

import random

from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.curate.dedup.clusters import Clusters, UnionFind

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20)


def components(pairs: list[tuple[str, str]]) -> dict[str, set[str]]:
    """Return each name's connected component, by search from every name."""
    near: dict[str, set[str]] = {}
    for a, b in pairs:
        near.setdefault(a, {a}).add(b)
        near.setdefault(b, {b}).add(a)
    found = {}
    for name in near:
        seen, waiting = {name}, [name]
        while waiting:
            new = near[waiting.pop()] - seen
            seen |= new
            waiting += new
        found[name] = seen
    return found


@given(PAIRS, st.randoms(use_true_random=False))
def test_clusters_are_the_connected_components(
    numbers: list[tuple[int, int]], shuffle: random.Random
) -> None:
    pairs = [(f"m{a:02d}", f"m{b:02d}") for a, b in numbers if a != b]
    wanted = {name: min(group) for name, group in components(pairs).items()}
    shuffle.shuffle(pairs)
    assert Clusters.join([(a, b, "how") for a, b in pairs]).canonical == wanted


def test_a_cluster_says_how_its_first_medium_was_matched() -> None:
    clusters = Clusters.join([("b", "c", "later"), ("a", "b", "first")])
    assert clusters.why(["x", "b"]) == "first"
    assert clusters.why(["c"]) == "later"
    assert clusters.why(["x"]) == ""


def test_a_name_that_was_never_joined_stands_for_itself() -> None:
    union = UnionFind()
    union.join("b", "a")
    assert (union.find("z"), union.find("b")) == ("z", "a")
    assert union.sets() == {"a": "a", "b": "a"}
