"""Clusters of one thing shown twice: a union-find over duplicate pairs only."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import pyarrow.parquet as pq

from smolmix.storage import Folder
from smolmix.workspace import part_files

SUFFIX = ".clusters.parquet"


class UnionFind:
    """Joins names into sets; the smallest name represents its set."""

    def __init__(self) -> None:
        """Start with every name alone."""
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """Return the name that represents this one's set."""
        root = name
        while (up := self._parent.get(root, root)) != root:
            root = up
        while (up := self._parent.get(name, name)) != root:
            self._parent[name] = root
            name = up
        return root

    def join(self, one: str, other: str) -> None:
        """Put both names' sets together."""
        first, second = sorted((self.find(one), self.find(other)))
        self._parent.setdefault(first, first)
        self._parent[second] = first

    def sets(self) -> dict[str, str]:
        """Return every joined name and the one that represents it."""
        return {name: self.find(name) for name in sorted(self._parent)}


class Clusters:
    """Which media digests show the same picture or clip."""

    def __init__(self, canonical: Mapping[str, str], details: Mapping[str, str] | None = None):
        """Take a map from each clustered digest to the one that represents it."""
        self.canonical = canonical
        self._details = details or {}

    def why(self, media: Sequence[str]) -> str:
        """Return how the first of these media that is in a cluster was matched."""
        return next((self._details[m] for m in media if m in self._details), "")

    @classmethod
    def join(cls, pairs: Iterable[tuple[str, str, str]]) -> Self:
        """Return the clusters of (digest, digest, how they match) pairs."""
        union, details = UnionFind(), dict[str, str]()
        for one, other, how in sorted(pairs):
            union.join(one, other)
            details.setdefault(one, how)
            details.setdefault(other, how)
        return cls(union.sets(), details)

    @classmethod
    def load(cls, folder: Folder) -> Self:
        """Return the clusters of a folder of confirmed pairs."""
        pairs: list[tuple[str, str, str]] = []
        for name in part_files(folder, SUFFIX):
            with folder.open(name) as stream:
                table = pq.read_table(stream)
            pairs += [(r["one"], r["other"], r["how"]) for r in table.to_pylist()]
        return cls.join(pairs)
