"""`smolmix report`: writes the report page and the dataset card of one mixture."""

from dataclasses import dataclass

from smolmix.errors import DataError, nearest
from smolmix.mixtures.selection.lock import LOCK_FILE
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.report.figures import across
from smolmix.pipelines.report.figures.figures import counted_profile, figures
from smolmix.pipelines.report.page.dataset_card import dataset_card
from smolmix.pipelines.report.page.page import report_page
from smolmix.pipelines.report.samples.answers import answer_cards
from smolmix.pipelines.report.samples.cards import Card, CardMaker
from smolmix.pipelines.report.samples.gallery import Budget, corpus_cards
from smolmix.storage import Folder
from smolmix.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `build_report` wrote."""

    folder: Folder
    page: str  # path or URL of index.html
    card: str  # path or URL of the dataset card
    samples: int
    pictures: int
    bytes_on_disk: int


def _known(workspace: Workspace) -> list[str]:
    here = workspace.child("mixtures")
    if not here.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in here.fs.ls(here.path, detail=False))
    return [n for n in names if here.child(n).exists(LOCK_FILE)]


def build_report(
    workspace: Workspace, name: str, *, seed: int = 0, budget: Budget | None = None
) -> Report:
    """Write `reports/<name>/` and the mixture's `README.md`.

    Args:
        workspace: holds the built mixture and its curated corpora.
        name: the mixture's name.
        seed: of the selection of samples to show.
        budget: how many samples of each corpus to show.

    Raises:
        DataError: the mixture was not built, or is older than its corpora.
    """
    if not workspace.mixture(name).exists(LOCK_FILE):
        known = _known(workspace)
        raise DataError(
            f"{workspace.mixture(name).url}: no such mixture; built mixtures: "
            f"{', '.join(known) or 'none'}{nearest(name, known)}; run `smolmix mix build SPEC`"
        )
    selection = current_selection(workspace, name)
    lock, samples = selection.lock, selection.samples
    computed = figures(workspace, name)
    maker = CardMaker(workspace=workspace, profile=counted_profile(workspace, lock))
    removals = across.read_removals(workspace, sorted(lock.corpora))
    cards: dict[str, Card] = {}
    for corpus in sorted(lock.corpora):
        mine = samples.filter(samples["corpus"] == corpus).select("part", "row")
        picked = frozenset((part, row) for part, row in mine.iter_rows())
        left = across.of_corpus(removals, corpus)
        for card in corpus_cards(
            workspace, corpus, maker, seed=seed, budget=budget, picked=picked, across=left
        ):
            cards.setdefault(card["key"], card)
    for card in answer_cards(workspace, [r["name"] for r in computed["runs"]], maker, seed=seed):
        cards[card["key"]] = card
    folder = workspace.report(name)
    folder.remove_tree()
    size = 0
    for picture in maker.pictures.values():
        folder.child("media").write_bytes(picture.name, picture.data)
        size += len(picture.data)
    page = report_page(computed, list(cards.values())).encode()
    folder.write_bytes("index.html", page)
    mixture = workspace.mixture(name)
    mixture.write_bytes("README.md", dataset_card(computed).encode())
    return Report(
        folder=folder,
        page=folder.at("index.html"),
        card=mixture.at("README.md"),
        samples=len(cards),
        pictures=len(maker.pictures),
        bytes_on_disk=size + len(page),
    )
