"""A full-text index of curated and dropped samples, for `smolmix browse`.

It uses SQLite's FTS5 from the standard library. The index holds words and a few columns to filter
by; the samples stay in their parquet files. It is rebuilt when a corpus changes.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from smolmix import curated
from smolmix.pipelines.report.samples.rows import SampleRows
from smolmix.pipelines.stats.dropped import scan_dropped
from smolmix.storage import digest_json
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

FACETS = ("corpus", "modality", "category", "reason", "cot")
FORMAT = 1
_TABLE = """
create table sample (
  n integer primary key, corpus text, modality text, category text, cot text, state text,
  reason text, stage text, id text, stage_folder text, row integer, kept_id text, detail text
);
create virtual table words using fts5(
  text, content='', columnsize=0, tokenize='unicode61'
);
create table about (digest text, format integer);
"""
_INDICES = "create index by_corpus on sample(corpus); create index by_id on sample(id);"
_COLUMNS = ("id", "modality", "category", "cot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One sample's place, and the reason if it was dropped."""

    n: int
    corpus: str
    state: str  # kept | dropped
    id: str
    stage_folder: str  # measured | curated, or "" for a row that never became a sample
    row: int
    stage: str
    reason: str
    detail: str
    kept_id: str


def state_digest(workspace: Workspace, corpora: Sequence[str]) -> str:
    """Return a digest of the corpora's state that an index belongs to."""
    return digest_json([FORMAT, [stage_record(workspace.curated(c)).digest for c in corpora]])


def _texts(table: pa.Table) -> list[str]:
    """Return each row's turns as one text."""
    turns = table.column("turns").combine_chunks()
    parts = pc.list_flatten(turns).field("parts")
    texts = pc.fill_null(pc.list_flatten(parts).field("text"), "")
    of_part = pc.list_parent_indices(parts)
    of_turn = pc.list_parent_indices(turns)
    rows = of_turn.take(of_part)
    out = [""] * len(turns)
    for row, text in zip(rows.to_pylist(), texts.to_pylist(), strict=True):
        out[row] = f"{out[row]}\n{text}" if out[row] else text
    return out


def _kept(workspace: Workspace, corpus: str) -> Iterator[tuple[tuple[Any, ...], str]]:
    folder, at = workspace.curated(corpus), 0
    for part in curated.part_names(folder):
        for table in curated.read_batches(folder, part, [*_COLUMNS, "turns"], rows=4096):
            columns = [table.column(c).to_pylist() for c in _COLUMNS]
            for values, text in zip(zip(*columns, strict=True), _texts(table), strict=True):
                id_, modality, category, cot = values
                row = (corpus, modality, category, cot, "kept", "", "", id_, "curated", at, "", "")
                yield row, f"{id_}\n{text}"
                at += 1


def _dropped(workspace: Workspace, corpus: str) -> Iterator[tuple[tuple[Any, ...], str]]:
    table = scan_dropped(workspace, [corpus]).collect(engine="streaming")
    measured: SampleRows | None = None
    places: dict[str, int] = {}
    if workspace.measured(corpus).exists(STAGE_FILE):
        measured = SampleRows(workspace.measured(corpus))
        places = measured.find(table["id"].to_list())
    # Sorted by row, so that each row group is read once.
    where = pl.col("id").replace_strict(places, default=-1, return_dtype=pl.Int64)
    for one in table.sort(where, "id").iter_rows(named=True):
        at, folder, text = places.get(one["id"]), "", ""
        modality = category = cot = ""
        if measured is not None and at is not None:
            sample = measured.read(at)
            folder = "measured"
            modality, category, cot = sample.modality, sample.category, sample.cot
            text = "\n".join(t.text for t in sample.turns)
        why = (one["reason"], one["stage"], one["id"], folder, at if at is not None else -1)
        head = (corpus, modality, category, cot, "dropped")
        row = (*head, *why, one["kept_id"], one["detail"])
        yield row, f"{one['id']}\n{one['detail']}\n{text}"


def build_index(workspace: Workspace, corpora: Sequence[str], path: Path) -> bool:
    """Write the index unless it is up to date; return whether it was written.

    Args:
        workspace: holds the curated corpora.
        corpora: ids of the corpora to index.
        path: the SQLite file, on a local disk.
    """
    digest = state_digest(workspace, corpora)
    if path.exists():
        with sqlite3.connect(path) as old:
            try:
                found = old.execute("select digest, format from about").fetchone()
            except sqlite3.DatabaseError:
                found = None
        if found == (digest, FORMAT):
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.new")  # another process may write the same index
    fresh.unlink(missing_ok=True)
    store = sqlite3.connect(fresh)
    try:
        store.execute("pragma journal_mode=off")
        store.execute("pragma synchronous=off")
        store.executescript(_TABLE)
        n = 0
        for corpus in corpora:
            for read in (_kept, _dropped):
                for row, text in read(workspace, corpus):
                    marks = ",".join("?" * (len(row) + 1))
                    store.execute(f"insert into sample values ({marks})", (n, *row))
                    store.execute("insert into words(rowid, text) values (?, ?)", (n, text))
                    n += 1
        store.executescript(_INDICES)
        store.execute("insert into about values (?, ?)", (digest, FORMAT))
        store.commit()
    finally:
        store.close()
    fresh.replace(path)
    return True


def _match(words: str) -> str:
    """Return an FTS query for all of these words; the last one matches as a prefix."""
    known = words.replace("\0", " ")  # SQLite's text ends at a NUL
    quoted = ['"' + w.replace('"', '""') + '"' for w in known.split()]
    return " ".join(quoted) + "*" if quoted else ""


def _where(filters: dict[str, str]) -> tuple[str, list[Any]]:
    clauses, values = [], []
    for name in (*FACETS, "state"):
        wanted = filters.get(name, "")
        if name == "state" and wanted == "pair":
            clauses.append("kept_id <> ''")
        elif wanted:
            clauses.append(f"{name} = ?")
            values.append(wanted)
    if words := _match(filters.get("q", "")):
        clauses.append("n in (select rowid from words where words match ?)")
        values.append(words)
    return (" where " + " and ".join(clauses) if clauses else ""), values


class TextIndex:
    """Queries over an index. Each call opens its own connection, so any thread may call."""

    def __init__(self, path: Path):
        """Use the index at `path`."""
        self._uri = f"{path.resolve().as_uri()}?mode=ro"  # the path may contain # or %

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        store = sqlite3.connect(self._uri, uri=True)
        try:
            return store.execute(sql, values).fetchall()
        finally:
            store.close()

    def facets(self) -> dict[str, list[str]]:
        """Return the values that each filter can take."""
        return {
            f: [v for (v,) in self._rows(f"select distinct {f} from sample order by 1") if v]
            for f in FACETS
        }

    def query(self, filters: dict[str, str], page: int, size: int) -> tuple[int, list[Hit]]:
        """Return the number of matching samples, and one page of them.

        Args:
            filters: values of `FACETS`, `state` (kept, dropped or pair) and `q` (words of text).
            page: page number, from 0.
            size: samples per page.
        """
        where, values = _where(filters)
        total = self._rows(f"select count(*) from sample{where}", values)[0][0]
        sql = f"select * from sample{where} order by n limit ? offset ?"
        return total, [_hit(r) for r in self._rows(sql, [*values, size, page * size])]

    def get(self, n: int) -> Hit | None:
        """Return the sample with that number, or None."""
        rows = self._rows("select * from sample where n = ?", [n])
        return _hit(rows[0]) if rows else None

    def by_id(self, id_: str) -> Hit | None:
        """Return the sample with that id, preferably a kept one, or None."""
        sql = "select * from sample where id = ? order by state desc limit 1"
        rows = self._rows(sql, [id_])
        return _hit(rows[0]) if rows else None


def _hit(row: tuple[Any, ...]) -> Hit:
    n, corpus, _modality, _category, _cot, state, reason, stage, id_, folder, at, kept, detail = row
    return Hit(
        n=n,
        corpus=corpus,
        state=state,
        id=id_,
        stage_folder=folder,
        row=at,
        stage=stage,
        reason=reason,
        detail=detail,
        kept_id=kept,
    )
