"""The surviving rows of one corpus or several, as deduplication reads them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from smolmix import removals
from smolmix.storage import Folder
from smolmix.workspace import stage_record


@dataclass(frozen=True, slots=True, kw_only=True)
class DedupInput:
    """One corpus: its filter step, and the removals that earlier steps found."""

    corpus: str
    rank: int  # of two copies in two corpora the one of the lower rank stays
    filtered: str
    removed: tuple[str, ...] = ()
    merged: str = ""  # folder of the samples that were merged, or "": others than the filter saw

    def parts(self) -> tuple[str, ...]:
        """Return the names of its parts, in order."""
        return tuple(stage_record(Folder(self.filtered)).units)

    def rows(
        self, part: str, suffix: str, columns: Sequence[str], filters: Any = None
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the part's rows that no step has removed."""
        taken = removals.of_part(map(Folder, self.removed), part)
        with Folder(self.filtered).open(part + suffix) as stream:
            table = pq.read_table(stream, columns=list(columns), filters=filters)
        for row in table.to_pylist():
            if row["row"] not in taken:
                yield row


def input_digests(inputs: Sequence[DedupInput]) -> dict[str, str]:
    """Return what a unit over these corpora depends on."""
    found: dict[str, str] = {}
    for corpus_input in inputs:
        for url in (corpus_input.filtered, *corpus_input.removed):
            folder = Folder(url)
            step = folder.path.rsplit("/", 2)[-2]
            found[f"{step} {corpus_input.corpus}"] = stage_record(folder).digest
    return found


def ranks(inputs: Sequence[DedupInput]) -> list[int]:
    """Return the rank of each corpus: its own part of the key, for another order matters."""
    return [o.rank for o in inputs]
