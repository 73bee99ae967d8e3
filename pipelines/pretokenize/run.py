"""Tokenizes a mixture: ids and tiles that are not cached, then a packing plan.

Ids come from the text alone. Tiles are cut once for each image or clip, however many samples show
it. The packing plan refers to rows of both. A sample whose medium is not as measured is dropped
with that reason.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from smolmix import curated
from smolmix.accounting import RowAccounting
from smolmix.engine.lock import locked
from smolmix.engine.run import print_summary
from smolmix.engine.stage import IN_THIS_PROCESS, RunOptions
from smolmix.errors import DataError
from smolmix.mixtures.selection.lock import lock_digest
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.pretokenize.ids import ensure_ids, ids_index
from smolmix.pipelines.pretokenize.tiles import ensure_tiles, failed_media, tiles_index
from smolmix.profiles import Profile
from smolmix.sample import MODALITIES, Dropped
from smolmix.storage import Folder
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.shards.packing import Packing, SequenceBudget, pack, pack_evenly
from smolmix.tokenize.shards.packing_plan import (
    PLAN_VERSION,
    PackedDocument,
    PackingRecord,
    sequences_folder,
    write_plan,
)
from smolmix.tokenize.tiles import codec
from smolmix.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """A tokenized mixture, and what this call added to the caches."""

    folder: Folder  # of the packing plan
    record: PackingRecord
    new_ids: int  # samples
    new_tiles: int  # images and clips


def tokenize_mixture(
    workspace: Workspace,
    mixture: str,
    profile: Profile,
    budget_tokens: int = 8192,
    budget_tiles: int | None = None,
    *,
    options: RunOptions = IN_THIS_PROCESS,
    seed: int = 0,
) -> Tokenized:
    """Write the ids, tiles and packing plan of a built mixture; return the plan.

    Args:
        workspace: holds the mixture's lock and selection, and the curated corpora.
        mixture: its name.
        profile: preset and chat style that the mixture was solved for.
        budget_tokens: of a sequence.
        budget_tiles: of a sequence; 0: no bound; None: a bound that evens them out.
        options: workers, and how much is printed.
        seed: of the order of sequences within a window.

    Raises:
        IncompleteError: a corpus is not curated, or selected media are not fetched.
        IntegrityError: the selection is not that of the mixture's lock.
        StaleError: a corpus was curated again after the mixture was built.
        DataError: the mixture is not built, or no sample can be packed.
        UsageError: the profile's codec is unknown.
    """
    codec.check(profile.pixel.codec)
    selection = current_selection(workspace, mixture, media=True).samples
    new_ids = new_tiles = 0
    for corpus in sorted(selection["corpus"].unique().to_list()):
        wanted = selection.filter(pl.col("corpus") == corpus).select("part", "row").unique()
        started = time.monotonic()
        ids = ensure_ids(workspace, corpus, wanted, profile, options.for_steps())
        tiles = ensure_tiles(workspace, corpus, wanted, profile.pixel, options.for_steps())
        if not options.quiet:
            _print_summary(corpus, ids, tiles, time.monotonic() - started)
        new_ids, new_tiles = new_ids + ids.kept, new_tiles + tiles.kept
    folder = sequences_folder(workspace, mixture, profile, budget_tokens)
    with locked(folder, quiet=options.quiet):
        record = _plan(
            workspace, folder, mixture, selection, profile, (budget_tokens, budget_tiles), seed
        )
    return Tokenized(folder=folder, record=record, new_ids=new_ids, new_tiles=new_tiles)


def _print_summary(corpus: str, ids: RowAccounting, tiles: RowAccounting, seconds: float) -> None:
    """Print what was added to the caches of a corpus, and the media that could not be cut."""
    new = {"samples tokenized": ids.samples, "images and clips cut": tiles.kept}
    done = ", ".join(f"{number:,} {what}" for what, number in new.items() if number)
    dropped = RowAccounting(dropped=tiles.dropped)
    if not done and not dropped.dropped:
        done = "up to date"
    print_summary(f"tokenize {corpus}", done, dropped, seconds)


def _plan(
    workspace: Workspace,
    folder: Folder,
    mixture: str,
    selection: pl.DataFrame,
    profile: Profile,
    bounds: tuple[int, int | None],
    seed: int,
) -> PackingRecord:
    """Pack the selected samples and write the plan; return its record."""
    cached = _CachedSamples(workspace, selection, profile)
    usable = cached.usable
    lengths, counts = usable["tokens"].to_numpy(), usable["n_tiles"].to_numpy()
    if bounds[1] is None:
        packing, budget = pack_evenly(lengths, counts, bounds[0], seed=seed)
    else:
        budget = SequenceBudget(tokens=bounds[0], tiles=bounds[1])
        packing = pack(lengths, counts, budget, seed=seed)
    dropped = [*cached.dropped]
    dropped += [
        Dropped(
            id=usable["id"][i],
            stage="tokenize",
            reason="too-long",
            detail=f"{usable['tokens'][i]} tokens and {usable['n_tiles'][i]} tiles; a sequence "
            f"holds {budget.tokens} and {budget.tiles or 'any number of'}",
        )
        for i in packing.too_long
    ]
    if not packing.sequences:
        raise DataError(
            f"{folder.url}: none of {len(selection):,} selected samples can be packed; the first "
            f"was dropped because of {dropped[0].reason}: {dropped[0].detail}"
        )
    tiles = [
        sum(int(usable["n_tiles"][s.sample]) for s in sequence) for sequence in packing.sequences
    ]
    documents = cached.documents(packing)
    reasons = sorted({d.reason for d in dropped})
    record = PackingRecord(
        version=PLAN_VERSION,
        mixture=mixture,
        lock_digest=lock_digest(workspace.mixture(mixture)),
        vocabulary=cached.vocabulary,
        pixel=asdict(profile.pixel),
        chat=asdict(profile.chat),
        budget_tokens=budget.tokens,
        budget_tiles=budget.tiles,
        window=budget.window,
        seed=seed,
        sequences=len(packing.sequences),
        documents=sum(map(len, packing.sequences)),
        tokens=sum(s.tokens for q in packing.sequences for s in q),
        supervised_tokens=int(np.delete(usable["supervised"].to_numpy(), packing.too_long).sum()),
        tiles=sum(tiles),
        fill=packing.fill(budget),
        tiles_p50=int(np.percentile(tiles, 50)),
        tiles_p99=int(np.percentile(tiles, 99)),
        dropped={r: sum(d.reason == r for d in dropped) for r in reasons},
        corpora=cached.corpora,
        modalities=MODALITIES,
        ids_shards=cached.ids_shards,
        tile_shards=cached.tile_shards,
        plan_digest="",
        packing_digest="",
    )
    return write_plan(folder, documents, tiles, dropped, record)


class _CachedSamples:
    """The selected samples with the shard rows of their ids and tiles.

    Attributes:
        usable: one row a sample that can be packed: `sample`, `id`, `corpus`, `modality`, `tokens`,
            `supervised`, `n_tiles`, `media`, `ids_shard` and `ids_row`.
        dropped: the other samples, with the reason.
        corpora: names, in the order of their numbers in the plan; so for `ids_shards` and
            `tile_shards`.
    """

    def __init__(self, workspace: Workspace, selection: pl.DataFrame, profile: Profile):
        """Look up each sample of `selection` in the caches."""
        self.vocabulary = tokenizer.load(profile.chat.tokenizer).digest
        self.corpora = tuple(sorted(selection["corpus"].unique().to_list()))
        self.dropped = list[Dropped]()
        ids_shards, tile_shards = dict[str, int](), dict[str, int]()  # path -> number
        # corpus -> digest of a medium -> number of the shard, row, tiles
        self._media = dict[str, dict[str, tuple[int, int, int]]]()
        frames = []
        for corpus in self.corpora:
            chosen = selection.filter(pl.col("corpus") == corpus)
            samples = _with_ids(workspace, profile, corpus, chosen, ids_shards)
            places = _tile_places(workspace, profile, corpus, tile_shards)
            failed = failed_media(workspace, profile.pixel, corpus)
            reasons = {digest: (reason, detail) for digest, reason, detail in failed.iter_rows()}
            self._media[corpus] = places
            frames.append(self._without_dropped(samples, places, reasons))
        self.usable = pl.concat(frames).sort("sample")
        self.ids_shards = tuple(ids_shards)
        self.tile_shards = tuple(tile_shards)

    def _without_dropped(
        self,
        samples: pl.DataFrame,
        places: Mapping[str, tuple[int, int, int]],
        reasons: Mapping[str, tuple[str, str]],
    ) -> pl.DataFrame:
        """Return the samples that can be packed; add the others to `dropped`."""
        keep = []
        for row in samples.iter_rows(named=True):
            problem = _problem(row, places, reasons)
            keep.append(problem is None)
            if problem:
                reason, detail = problem
                self.dropped.append(
                    Dropped(id=row["id"], stage="tokenize", reason=reason, detail=detail)
                )
        return samples.filter(pl.Series(keep, dtype=pl.Boolean))

    def documents(self, packing: Packing) -> list[list[PackedDocument]]:
        """Return the documents of each sequence, with the shard rows of their ids and tiles."""
        rows = self.usable.rows(named=True)
        corpora = {name: i for i, name in enumerate(self.corpora)}
        return [
            [self._document(rows[s.sample], s.start, s.stop, corpora) for s in sequence]
            for sequence in packing.sequences
        ]

    def _document(
        self, row: Mapping[str, Any], start: int, stop: int, corpora: Mapping[str, int]
    ) -> PackedDocument:
        places = [self._media[row["corpus"]][d] for d in row["media"]]
        return PackedDocument(
            sample=row["sample"],
            corpus=corpora[row["corpus"]],
            modality=MODALITIES.index(row["modality"]),
            ids_shard=row["ids_shard"],
            ids_row=row["ids_row"],
            start=start,
            stop=stop,
            tile_shards=tuple(shard for shard, _row, _tiles in places),
            tile_rows=tuple(r for _shard, r, _tiles in places),
        )


def _with_ids(
    workspace: Workspace,
    profile: Profile,
    corpus: str,
    chosen: pl.DataFrame,
    shards: dict[str, int],
) -> pl.DataFrame:
    """Return the chosen samples with their row of the ids index; new shards are numbered."""
    # The digest too: a corpus that was curated again may hold another sample under the same id.
    digests = [
        curated.read_rows(workspace.curated(corpus), part, ["digest"]).select(
            pl.lit(part).alias("part"), pl.col("row").cast(pl.Int64), "digest"
        )
        for part in chosen["part"].unique().sort().to_list()
    ]
    index = ids_index(workspace, profile, corpus)
    numbers = _number(index["shard"].unique().sort().to_list(), shards)
    index = index.with_columns(
        pl.col("shard").replace_strict(numbers, return_dtype=pl.Int32)
    ).rename({"row": "ids_row", "shard": "ids_shard"})
    return chosen.join(pl.concat(digests), on=["part", "row"], how="left").join(
        index,
        left_on=["part", "row", "id", "digest"],
        right_on=["part", "part_row", "id", "digest"],
        how="left",
    )


def _tile_places(
    workspace: Workspace, profile: Profile, corpus: str, shards: dict[str, int]
) -> dict[str, tuple[int, int, int]]:
    """Return digest -> (number of the shard, row, tiles); new shards are numbered."""
    index = tiles_index(workspace, profile.pixel, corpus)
    numbers = _number(index["shard"].unique().sort().to_list(), shards)
    places = index.select("digest", "shard", "row", "tiles").iter_rows()
    return {digest: (numbers[shard], row, tiles) for digest, shard, row, tiles in places}


def _number(names: list[str], known: dict[str, int]) -> dict[str, int]:
    return {name: known.setdefault(name, len(known)) for name in names}


def _problem(
    row: Mapping[str, Any],
    places: Mapping[str, tuple[int, int, int]],
    reasons: Mapping[str, tuple[str, str]],
) -> tuple[str, str] | None:
    """Return the reason and detail for which a sample cannot be packed, or None."""
    if row["tokens"] is None:
        return "tokenize-failed", "its ids are not in the cache"
    for digest, planned in zip(row["media"], row["tiles"], strict=True):
        if digest not in places:
            return reasons.get(digest, ("media-missing", f"no tiles of {digest}"))
        if places[digest][2] != planned:
            return "plan-mismatch", f"{places[digest][2]} tiles; {planned} planned"
    return None
