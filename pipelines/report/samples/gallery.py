"""The cards of the report's sample browser."""

from collections.abc import Sequence

from smolmix.pipelines.report.samples.cards import Card, CardMaker, card_key
from smolmix.pipelines.report.samples.chosen import Budget, dropped_of, kept_rows, some_of
from smolmix.pipelines.report.samples.rows import SampleRows
from smolmix.sample import Dropped, Sample
from smolmix.workspace import STAGE_FILE, Workspace


def _partners(workspace: Workspace, ids: list[str]) -> dict[str, Sample]:
    """Return samples by id from whichever corpus holds them; an id begins with its corpus."""
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
    """Return cards of a corpus's kept samples, of what left it, and of duplicates' partners.

    Args:
        workspace: where it lies.
        corpus: its id.
        maker: of cards.
        seed: of the draw.
        budget: how many.
        picked: (part, row) of the samples in the mixture.
        across: what leaves mixtures because of another corpus.
    """
    budget = budget or Budget()
    curated = SampleRows(workspace.curated(corpus))
    cards: list[Card] = []
    for row in kept_rows(curated, corpus, seed, budget.kept):
        card = maker.card(curated.read(row))
        card["picked"] = curated.place(row) in picked
        cards.append(card)
    left = dropped_of(workspace, corpus, seed, budget)
    left += some_of(list(across), corpus, seed, budget.pairs_a_reason)
    before: dict[str, Sample] = {}
    if left and workspace.measured(corpus).exists(STAGE_FILE):
        measured = SampleRows(workspace.measured(corpus))
        before = {i: measured.read(at) for i, at in measured.find([d.id for d in left]).items()}
    partners = _partners(workspace, sorted({d.kept_id for d in left if d.kept_id}))
    for dropped in left:
        sample = before.get(dropped.id)
        if sample is None:
            cards.append(maker.lost(dropped, corpus))
            continue
        card = maker.card(sample, state="dropped", dropped=dropped)
        partner = partners.get(dropped.kept_id)
        if partner is not None:
            card["partner"] = card_key("partner", partner.corpus, partner.id)
        cards.append(card)
    cards += [maker.card(p, state="partner") for p in partners.values()]
    return cards
