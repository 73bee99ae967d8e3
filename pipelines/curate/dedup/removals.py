"""Verdicts of deduplication and decontamination: which row of which part leaves, and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.storage import Folder
from smolmix.workspace import part_files

SUFFIX = ".verdicts.parquet"

SCHEMA = pa.schema(
    [
        ("part", pa.string()),
        ("row", pa.int64()),
        ("id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("kept_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Verdict:
    """One sample leaves; `kept_id` is the copy, or the benchmark's sample, it was matched with."""

    part: str
    row: int
    id: str
    stage: str  # dedup | decontaminate
    reason: str
    detail: str = ""
    kept_id: str = ""


def write(path: Path, verdicts: Iterable[Verdict]) -> int:
    """Write verdicts in order of part and row; return how many."""
    found = sorted(verdicts)
    columns = {name: [getattr(v, name) for v in found] for name in SCHEMA.names}
    pq.write_table(pa.Table.from_pydict(columns, schema=SCHEMA), path, compression="zstd")
    return len(found)


def of_part(folders: Iterable[Folder], part: str) -> dict[int, Verdict]:
    """Return a part's verdicts by row; of several on one row, the first folder's stays."""
    found: dict[int, Verdict] = {}
    for folder in folders:
        for name in part_files(folder, SUFFIX):
            with folder.open(name) as stream:
                table = pq.read_table(stream, filters=[("part", "=", part)])
            for row in table.to_pylist():
                found.setdefault(int(row["row"]), Verdict(**row))
    return found


def count_reasons(verdicts: Mapping[int, Verdict]) -> dict[str, int]:
    """Return how many verdicts there are of each reason."""
    counts: dict[str, int] = {}
    for verdict in verdicts.values():
        counts[verdict.reason] = counts.get(verdict.reason, 0) + 1
    return dict(sorted(counts.items()))
