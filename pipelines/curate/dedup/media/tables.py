"""The features of all media of some corpora, read column by column."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from smolmix.pipelines.curate.measure import media_features
from smolmix.pipelines.curate.measure.media_features import MediaFeatures
from smolmix.storage import Folder
from smolmix.workspace import stage_record

MIN_SPREAD = 8  # the hashes of flatter pictures are noise


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaTables:
    """Measured corpora whose media are compared with one another."""

    urls: tuple[str, ...]  # their folders

    def __add__(self, other: "MediaTables") -> "MediaTables":
        return MediaTables(urls=self.urls + other.urls)

    def digests(self) -> dict[str, str]:
        """Return what a unit over these corpora depends on."""
        return {f"measured {Folder(u).name}": stage_record(Folder(u)).digest for u in self.urls}

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of the features of every part, a bounded number of media at a time."""
        for url in self.urls:
            yield from media_features.read_batches(Folder(url), columns)

    def count(self, kinds: Iterable[str]) -> int:
        """Return how many media of these kinds there are, counting copies."""
        wanted = set(kinds)
        return sum(
            sum(k in wanted for k in batch.column("kind").to_pylist())
            for batch in self.batches(["kind"])
        )

    def features(self, digests: set[str]) -> dict[str, MediaFeatures]:
        """Return the features of the named media, by digest."""
        found: dict[str, MediaFeatures] = {}
        for batch in self.batches(media_features.SCHEMA.names):
            names = batch.column("digest").to_pylist()
            rows = [i for i, n in enumerate(names) if n in digests and n not in found]
            if rows:
                table = pa.Table.from_batches([batch]).take(rows)
                found |= {f.digest: f for f in media_features.from_table(table)}
        return found
