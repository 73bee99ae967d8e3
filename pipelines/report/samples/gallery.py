"""The cards of the report's sample browser: a seeded selection of kept and dropped samples.

Dropped duplicates are shown next to the copy that was kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash

from smolmix.pipelines.report.samples.cards import Card, CardMaker, card_key
from smolmix.pipelines.report.samples.rows import SampleRows
from smolmix.pipelines.stats.dropped import scan_dropped
from smolmix.sample import Dropped, Sample
from smolmix.workspace import STAGE_FILE, Workspace

_PAIRED = ("dedup", "decontaminate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many samples of each corpus are shown."""

    kept: int = 24
    dropped_a_reason: int = 4
    pairs_a_reason: int = 6


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, xxhash.xxh3_64_intdigest(name.encode())])


def kept_rows(rows: SampleRows, corpus: str, seed: int, count: int) -> list[int]:
    """Return ascending row numbers, selected evenly over category, CoT and split.

    Every combination that occurs is selected at least once if `count` allows.
    """
    if count >= len(rows):
        return list(range(len(rows)))
    keys = ["category", "cot", "split"]
    frame = rows.scan(keys).collect(engine="streaming")
    order = _rng(seed, corpus).permutation(len(rows))
    drawn = frame[order].with_columns(pl.int_range(pl.len()).over(keys).alias("rank"))
    drawn = drawn.with_row_index("tie").sort("rank", *keys, "tie").head(count)
    return sorted(drawn["at"].to_list())


def select_by_reason(found: list[Dropped], corpus: str, seed: int, count: int) -> list[Dropped]:
    """Return a seeded selection of at most `count` entries for each reason."""
    chosen: list[Dropped] = []
    for reason in sorted({d.reason for d in found}):
        mine = [d for d in found if d.reason == reason]
        rng = _rng(seed, f"{corpus}/{reason}")
        at = sorted(rng.choice(len(mine), min(count, len(mine)), replace=False).tolist())
        chosen += [mine[i] for i in at]
    return chosen


def select_dropped(workspace: Workspace, corpus: str, seed: int, budget: Budget) -> list[Dropped]:
    """Return a seeded selection of a corpus's dropped rows for each stage and reason."""
    frame = scan_dropped(workspace, [corpus]).drop("corpus")
    chosen: list[Dropped] = []
    for stage, reason in _reasons(frame):
        one = frame.filter((pl.col("stage") == stage) & (pl.col("reason") == reason))
        count = budget.pairs_a_reason if stage in _PAIRED else budget.dropped_a_reason
        total = int(one.select(pl.len()).collect().item())
        rng = _rng(seed, f"{corpus}/{stage}/{reason}")
        at = sorted(rng.choice(total, min(count, total), replace=False).tolist())
        chosen_rows = (
            one.with_row_index("nth").filter(pl.col("nth").is_in(at)).drop("nth").collect()
        )
        chosen += [Dropped(**row) for row in chosen_rows.to_dicts()]
    return chosen


def _reasons(frame: pl.LazyFrame) -> list[tuple[str, str]]:
    table = frame.select("stage", "reason").unique().sort("stage", "reason").collect()
    return [(s, r) for s, r in table.iter_rows()]


def _partners(workspace: Workspace, ids: list[str]) -> dict[str, Sample]:
    """Return samples by id; an id starts with the name of its corpus."""
    found: dict[str, Sample] = {}
    by_corpus: dict[str, list[str]] = {}
    for one in ids:
        by_corpus.setdefault(one.partition("/")[0], []).append(one)
    for corpus, wanted in sorted(by_corpus.items()):
        folder = workspace.measured(corpus)
        if not folder.exists(STAGE_FILE):
            folder = workspace.curated(corpus)
        if folder.exists(STAGE_FILE):
            rows = SampleRows(folder)
            found |= {id_: rows.read(at) for id_, at in sorted(rows.find(wanted).items())}
    return found


def corpus_cards(
    workspace: Workspace,
    corpus: str,
    maker: CardMaker,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    picked: frozenset[tuple[str, int]] = frozenset(),
    across: Sequence[Dropped] = (),
) -> list[Card]:
    """Return cards of a corpus's kept samples, dropped rows, and the kept copies of duplicates.

    Args:
        workspace: holds the curated corpus.
        corpus: its id.
        maker: makes the cards.
        seed: of the selection.
        budget: how many samples to show.
        picked: (part, row) of the samples in the mixture.
        across: samples removed from mixtures because of another corpus.
    """
    budget = budget or Budget()
    curated = SampleRows(workspace.curated(corpus))
    cards: list[Card] = []
    for row in kept_rows(curated, corpus, seed, budget.kept):
        card = maker.card(curated.read(row))
        card["picked"] = curated.place(row) in picked
        cards.append(card)
    gone = select_dropped(workspace, corpus, seed, budget)
    gone += select_by_reason(list(across), corpus, seed, budget.pairs_a_reason)
    measured_samples: dict[str, Sample] = {}
    if gone and workspace.measured(corpus).exists(STAGE_FILE):
        measured = SampleRows(workspace.measured(corpus))
        places = measured.find([d.id for d in gone])
        measured_samples = {i: measured.read(at) for i, at in places.items()}
    partners = _partners(workspace, sorted({d.kept_id for d in gone if d.kept_id}))
    for dropped in gone:
        sample = measured_samples.get(dropped.id)
        if sample is None:
            cards.append(maker.row_card(dropped, corpus))
            continue
        card = maker.card(sample, state="dropped", dropped=dropped)
        partner = partners.get(dropped.kept_id)
        if partner is not None:
            card["partner"] = card_key("partner", partner.corpus, partner.id)
        cards.append(card)
    cards += [maker.card(p, state="partner") for p in partners.values()]
    return cards
