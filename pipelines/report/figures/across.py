"""Duplicates and contamination across the corpora of one mixture: `verdicts/<set>/`."""

import polars as pl

from smolmix.pipelines.stats.measures import sources
from smolmix.sample import Dropped
from smolmix.workspace import STAGE_FILE, Workspace, part_files, stage_record

STAGE = "across corpora"
_COLUMNS = ("id", "reason", "kept_id")


def read_verdicts(workspace: Workspace, corpora: list[str]) -> pl.DataFrame:
    """Return id, corpus, reason and kept_id of the samples that leave a mixture of these corpora.

    Args:
        workspace: holds `verdicts/<set>/`, or none.
        corpora: a set of verdicts applies to a mixture of exactly its own corpora.
    """
    here = workspace.child("verdicts")
    found = []
    names = [p.rstrip("/") for p in here.fs.ls(here.path, False)] if here.exists() else []
    for name in sorted(n.rsplit("/", 1)[-1] for n in names):
        folder = here.child(name)
        if not folder.exists(STAGE_FILE):
            continue
        if sorted(stage_record(folder).info.get("corpora", ())) == sorted(corpora):
            parts = sources(folder, part_files(folder))
            found += [pl.read_parquet(p, columns=list(_COLUMNS)) for p in parts]
    table = pl.concat(found) if found else pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))
    corpus = pl.col("id").str.split("/").list.first()
    return table.with_columns(corpus.alias("corpus")).sort("corpus", "reason", "id")


def counts(verdicts: pl.DataFrame) -> list[dict[str, object]]:
    """Return how many samples of each corpus leave for each reason, as `stats --dropped` does."""
    table = verdicts.group_by("corpus", "reason").len().sort("corpus", "reason")
    return [
        {"corpus": corpus, "stage": STAGE, "reason": reason, "rows": 0, "samples": count}
        for corpus, reason, count in table.iter_rows()
    ]


def of_corpus(verdicts: pl.DataFrame, corpus: str) -> list[Dropped]:
    """Return a corpus's verdicts as dropped samples."""
    mine = verdicts.filter(pl.col("corpus") == corpus)
    return [
        Dropped(id=r["id"], stage=STAGE, reason=r["reason"], kept_id=r["kept_id"] or "")
        for r in mine.iter_rows(named=True)
    ]
