"""Removals: which rows of which curated corpora are removed as copies or contamination, and why.

The one module that knows their files, columns and checks. Two kinds of folder hold them:

- `dedup/<step>/<corpus>/`: what one step of curation found; the curated parts leave it out.
- `removals/<set>/`: copies across corpora. Adding a corpus rewrites no other's files: a mixture
  of exactly these corpora leaves the copies out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import stale
from smolmix.storage import Folder, digest_json
from smolmix.workspace import STAGE_FILE, Workspace, part_files, stage_record

SUFFIX = ".removals.parquet"

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
class Removal:
    """One removed sample; `kept_id` is the copy, or the benchmark's sample, that it matches."""

    part: str
    row: int
    id: str
    stage: str  # dedup | decontaminate | merge
    reason: str
    detail: str = ""
    kept_id: str = ""


def write(path: Path, removals: Iterable[Removal]) -> int:
    """Write removals in order of part and row; return how many."""
    found = sorted(removals)
    columns = {name: [getattr(r, name) for r in found] for name in SCHEMA.names}
    write_table(path, pa.Table.from_pydict(columns, schema=SCHEMA))
    return len(found)


def write_table(path: Path, table: pa.Table) -> None:
    """Write removals that are columns already, in the order given."""
    pq.write_table(table.cast(SCHEMA), path, compression="zstd")


def read(folder: Folder, part: str | None = None) -> pa.Table:
    """Return the removals of a finished step, of one part or of all.

    Raises:
        IncompleteError: the step has not finished.
    """
    tables = [SCHEMA.empty_table()]
    filters = None if part is None else [("part", "=", part)]
    for name in part_files(folder, SUFFIX):
        with folder.open(name) as stream:
            tables.append(pq.read_table(stream, filters=filters))
    return pa.concat_tables(tables)


def of_part(folders: Iterable[Folder], part: str) -> dict[int, Removal]:
    """Return a part's removals by row; where several folders name a row, the first decides."""
    found: dict[int, Removal] = {}
    for folder in folders:
        for row in read(folder, part).to_pylist():
            found.setdefault(int(row["row"]), Removal(**row))
    return found


def count_reasons(removals: Mapping[int, Removal]) -> dict[str, int]:
    """Return how many removals there are of each reason."""
    counts: dict[str, int] = {}
    for removal in removals.values():
        counts[removal.reason] = counts.get(removal.reason, 0) + 1
    return dict(sorted(counts.items()))


def set_folder(workspace: Workspace, corpora: Iterable[str]) -> Folder:
    """Return the folder of the removals across these corpora; it need not exist."""
    return workspace.child("removals", digest_json(sorted(set(corpora)))[:16])


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCorpusRemovals:
    """The copies that are dropped from a mixture of a set of corpora."""

    table: pa.Table  # in `SCHEMA`
    digest: str = ""  # "" if these corpora were never compared

    @property
    def ids(self) -> pa.Array:
        """The ids of the removed samples."""
        return pa.concat_arrays([*self.table["id"].chunks, pa.array([], pa.string())])


def across_corpora(workspace: Workspace, corpora: Iterable[str]) -> CrossCorpusRemovals:
    """Return the removals across exactly these corpora; empty if they were never compared.

    A copy is removed only where the other copy is in the mixture too, so the removals of a larger
    or smaller set do not count.

    Raises:
        StaleError: a corpus was curated again since: the kept copy may be gone by now.
    """
    wanted = sorted(set(corpora))
    folder = set_folder(workspace, wanted)
    if not folder.exists(STAGE_FILE):
        return CrossCorpusRemovals(table=SCHEMA.empty_table())
    record = stage_record(folder)
    for corpus, then in sorted(record.info.get("curated", {}).items()):
        if stage_record(workspace.curated(corpus)).digest != then:
            raise stale(
                folder.url,
                source=f"curated/{corpus}",
                changed=f"{corpus} was curated again",
                command=f"smolmix curate {' '.join(wanted)} --across",
            )
    return CrossCorpusRemovals(table=read(folder), digest=record.digest)
