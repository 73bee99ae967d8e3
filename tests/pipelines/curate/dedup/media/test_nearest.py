"""The nearest neighbours by descriptor are those that comparing all pairs finds."""

import numpy as np
import pytest

from smolmix.pipelines.curate.dedup.media.nearest import nearest


@pytest.mark.parametrize("mirrored", [False, True])
def test_neighbours_are_those_of_all_pairs(mirrored: bool) -> None:
    rng = np.random.default_rng(7)
    own = rng.integers(-100, 100, (60, 12)).astype(np.int8)
    turned = own[:, ::-1].copy()
    variants = [own.astype(np.int64)] + ([turned.astype(np.int64)] if mirrored else [])
    apart = np.min(
        [((own[:, None].astype(np.int64) - v[None]) ** 2).sum(axis=2) for v in variants], axis=0
    )
    np.fill_diagonal(apart, 1 << 40)
    found: dict[int, list[tuple[int, bool, int]]] = {}
    for part in nearest(
        own,
        lambda members: (own[members][:, None], turned[members][:, None][:, : int(mirrored)]),
        lambda rows, columns: rows[:, None] != columns[None],
        3,
    ):
        for a, b, flipped, rank in zip(part.one, part.other, part.mirrored, part.rank, strict=True):
            found.setdefault(int(a), []).append((int(b), bool(flipped), int(rank)))
    assert len(found) == 60
    for one, others in found.items():
        others.sort(key=lambda o: o[2])
        distances = [int(apart[one, b]) for b, _, _ in others]
        assert distances == sorted(apart[one])[:3]
        for b, flipped, _ in others:
            straight = int(((own[one].astype(int) - own[b].astype(int)) ** 2).sum())
            assert flipped == (straight > apart[one, b])


def test_pairs_that_are_not_allowed_are_left_out() -> None:
    own = np.zeros((6, 4), np.int8)
    found = [
        (int(a), int(b))
        for part in nearest(
            own,
            lambda members: (own[members][:, None], own[members][:, None][:, :0]),
            lambda rows, columns: (rows[:, None] < 3) & (columns[None] >= 3),
            6,
        )
        for a, b in zip(part.one, part.other, strict=True)
    ]
    assert sorted(found) == [(a, b) for a in range(3) for b in range(3, 6)]
