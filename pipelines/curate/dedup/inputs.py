"""What deduplication reads of a corpus: the rows that the filter kept, by part.

The one module that knows the file that the step `filter` writes for each measured part:
`part-00000.rows.parquet`, one row for each measured row, in order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix import removals
from smolmix.storage import Folder
from smolmix.workspace import manifests, stage_record

SUFFIX = ".rows.parquet"
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("split", pa.string()),
        ("reason", pa.string()),  # the rule that dropped it, or "" for a kept row
        ("detail", pa.string()),
        ("text_hash", pa.string()),
        ("media", pa.list_(pa.string())),  # digests
        ("pixels", pa.int64()),  # of all media: of two copies the larger is kept
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupInput:
    """One corpus: its step `filter`, and the removals that earlier steps found."""

    corpus: str
    filtered: str  # folder of the step `filter`
    rank: int = 0  # of two copies in two corpora, the copy of the lower rank is kept
    removed: tuple[str, ...] = ()  # folders of removals
    merged: str = ""  # folder of merged samples, whose texts are not those that the filter saw

    def parts(self) -> tuple[str, ...]:
        """Return the names of its parts, in order."""
        return tuple(stage_record(Folder(self.filtered)).units)

    def texts(self) -> int:
        """Return how many kept training samples are text alone."""
        return sum(int(m.stats["texts"]) for m in manifests(Folder(self.filtered)))

    def removed_rows(self, part: str) -> list[int]:
        """Return the part's rows that earlier steps removed."""
        return list(removals.of_part(map(Folder, self.removed), part))

    def frame(self, part: str, columns: Sequence[str], *, split: str | None = None) -> pl.DataFrame:
        """Return columns of the part's remaining rows, optionally those of one split."""
        kept = [("reason", "=", "")] + ([("split", "=", split)] if split else [])
        with Folder(self.filtered).open(part + SUFFIX) as stream:
            table = pq.read_table(stream, columns=["row", *columns], filters=kept)
        return pl.DataFrame(table).filter(~pl.col("row").is_in(self.removed_rows(part)))

    def rows(self, part: str, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the part's remaining rows, each with `row` and these columns."""
        yield from self.frame(part, columns).iter_rows(named=True)


def dropped_by_rules(filtered: Folder, part: str) -> tuple[int, dict[int, tuple[str, str]]]:
    """Return how many rows a part has, and (reason, detail) of each that a rule dropped."""
    with filtered.open(part + SUFFIX) as stream:
        rows = pq.read_table(stream, columns=["row", "reason", "detail"]).to_pylist()
    return len(rows), {r["row"]: (r["reason"], r["detail"]) for r in rows if r["reason"]}


def input_digests(inputs: Sequence[DedupInput]) -> dict[str, str]:
    """Return what a unit over these corpora depends on."""
    found: dict[str, str] = {}
    for one in inputs:
        for url in (one.filtered, *one.removed):
            folder = Folder(url)
            step = folder.path.rsplit("/", 2)[-2]
            found[f"{step} {one.corpus}"] = stage_record(folder).digest
    return found


def ranks(inputs: Sequence[DedupInput]) -> list[int]:
    """Return the rank of each corpus; a unit's parameter, because another order keeps others."""
    return [one.rank for one in inputs]
