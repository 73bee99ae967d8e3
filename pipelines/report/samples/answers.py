"""Cards of runs' answers: a seeded selection of right and wrong answers with their samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import xxhash

from smolmix.model.train.run_record import evaluation, predicted, read_predictions
from smolmix.pipelines.report.samples.cards import Card, CardMaker, card_key
from smolmix.pipelines.report.samples.rows import SampleRows
from smolmix.storage import Folder
from smolmix.workspace import STAGE_FILE, Workspace

RIGHT, WRONG = "answered right", "answered wrong"
_SHOWN = ("question", "expected", "answer", "baseline_answer", "metric", "score")
_JUDGE = ("judge_answer", "judge_score", "judge_reply", "judge_error")


def answer_cards(
    workspace: Workspace, runs: Sequence[str], maker: CardMaker, *, seed: int = 0, each: int = 12
) -> list[Card]:
    """Return cards of runs' answers to held-out questions.

    An answer counts as right if its score is at least 0.5. Samples that are no longer in the
    curated corpus are skipped.

    Args:
        workspace: holds the runs, their evaluations and the curated corpora.
        runs: names of runs.
        maker: makes the cards.
        seed: of the selection.
        each: most right and most wrong answers shown for each run and corpus.
    """
    cards: list[Card] = []
    for run in runs:
        folder = workspace.run(run)
        for corpus in predicted(folder):
            if workspace.curated(corpus).exists(STAGE_FILE):
                chosen = _select(_table(folder, corpus), f"{run}/{corpus}", seed, each)
                cards += _cards(workspace, run, corpus, chosen, maker)
    return cards


def _table(run: Folder, corpus: str) -> pl.DataFrame:
    return pl.DataFrame(read_predictions(evaluation(run), corpus))


def _select(table: pl.DataFrame, name: str, seed: int, each: int) -> list[dict[str, Any]]:
    """Return rows selected evenly over categories and subsets, right answers first."""
    rng = np.random.default_rng([seed, xxhash.xxh3_64_intdigest(name.encode())])
    keys = ["right", "category", "subset"]
    shuffled = table[rng.permutation(table.height)].with_columns(right=pl.col("score") >= 0.5)
    ranked = shuffled.with_columns(rank=pl.int_range(pl.len()).over(keys)).with_row_index("tie")
    evenly = ranked.sort("rank", "category", "subset", "tie")
    right, wrong = evenly.filter(pl.col("right")), evenly.filter(~pl.col("right"))
    return [*right.head(each).to_dicts(), *wrong.head(each).to_dicts()]


def _cards(
    workspace: Workspace, run: str, corpus: str, rows: Sequence[dict[str, Any]], maker: CardMaker
) -> list[Card]:
    samples = SampleRows(workspace.curated(corpus))
    places = samples.find(sorted({r["sample"] for r in rows}))
    cards = []
    for row in rows:
        if row["sample"] not in places:
            continue
        card = maker.card(
            samples.read(places[row["sample"]]), state=RIGHT if row["right"] else WRONG
        )
        card["key"] = card_key(f"answer/{run}/{row['turn']}", corpus, row["sample"])
        card["answered"] = {"run": run} | {k: row[k] for k in (*_SHOWN, *_JUDGE) if k in row}
        cards.append(card)
    return cards
