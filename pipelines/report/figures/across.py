"""Removals across the corpora of one mixture, for its report."""

import polars as pl

from smolmix.removals import across_corpora
from smolmix.sample import Dropped
from smolmix.workspace import Workspace

STAGE = "across corpora"
_COLUMNS = ("id", "reason", "kept_id")


def read_removals(workspace: Workspace, corpora: list[str]) -> pl.DataFrame:
    """Return id, corpus, reason and kept_id of the samples that a mixture of corpora leaves out."""
    found = across_corpora(workspace, corpora).table.select(list(_COLUMNS))
    table = pl.DataFrame(found, schema=dict.fromkeys(_COLUMNS, pl.String))
    corpus = pl.col("id").str.split("/").list.first()
    return table.with_columns(corpus.alias("corpus")).sort("corpus", "reason", "id")


def counts(removals: pl.DataFrame) -> list[dict[str, object]]:
    """Return how many samples of each corpus are removed for each reason."""
    table = removals.group_by("corpus", "reason").len().sort("corpus", "reason")
    return [
        {"corpus": corpus, "stage": STAGE, "reason": reason, "rows": 0, "samples": count}
        for corpus, reason, count in table.iter_rows()
    ]


def of_corpus(removals: pl.DataFrame, corpus: str) -> list[Dropped]:
    """Return a corpus's removals as dropped samples."""
    mine = removals.filter(pl.col("corpus") == corpus)
    return [
        Dropped(id=r["id"], stage=STAGE, reason=r["reason"], kept_id=r["kept_id"] or "")
        for r in mine.iter_rows(named=True)
    ]
