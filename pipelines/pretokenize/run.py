"""Tokenizes what a mixture needs and the caches lack, then packs it into sequences.

Three steps: ids (text only), tiles (each image or clip once, however many conversations are on
it), and the packing plan, an index over both. A sample whose medium turns out not to be what its
header said is dropped with that reason, and counted.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from smolmix.engine.lock import locked
from smolmix.engine.run import run_stage
from smolmix.engine.stage import IN_THIS_PROCESS, RunOptions
from smolmix.errors import DataError
from smolmix.mixtures.selection.lock import LOCK_FILE
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.pretokenize.units import (
    IDS_STAGE,
    TILES_STAGE,
    curated_rows,
    ids_info,
    ids_units,
    tiles_info,
    tiles_units,
)
from smolmix.profiles import Profile
from smolmix.sample import MODALITIES, Dropped
from smolmix.storage import Folder, digest_json
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.shards import cache
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
    """What `tokenize_mixture` made."""

    folder: Folder
    record: PackingRecord
    new_ids: int  # samples tokenized by this call
    new_tiles: int  # images and clips cut by this call


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
    """Make ids, tiles and the packing plan of a built mixture.

    Args:
        workspace: holds the mixture's lock and selection, and the curated corpora.
        mixture: its name.
        profile: preset and chat style; the one the mixture was solved for.
        budget_tokens: of a sequence.
        budget_tiles: of a sequence; 0 for no bound; None for one that evens them out.
        options: workers, and how much is printed.
        seed: of the order of sequences within a window.

    Raises:
        IncompleteError: a corpus is not curated, or selected media are not fetched.
        IntegrityError: the selection is not that of the mixture's lock.
        DataError: the mixture is not built, a corpus was curated anew since, or no sample is left.
        UsageError: the profile's codec is not known.
    """
    codec.check(profile.pixel.codec)
    selection = current_selection(workspace, mixture, media=True).samples
    made = {"ids": 0, "tiles": 0}
    for corpus in sorted(selection["corpus"].unique().to_list()):
        wanted = selection.filter(pl.col("corpus") == corpus).select("part", "row").unique()
        for store in (ids_cache, tiles_cache):
            for name in cache.withdraw_damaged(store(workspace, profile, corpus)):
                print(f"tokenize: {name} is missing or cut; making it anew", file=sys.stderr)
        for name, stage, plan in (
            ("ids", IDS_STAGE, ids_units),
            ("tiles", TILES_STAGE, tiles_units),
        ):
            missing = plan(workspace, corpus, wanted, profile)
            if missing.units:
                summary = run_stage(
                    stage,
                    missing.units,
                    folder=missing.folder,
                    options=options,
                    info=missing.info,
                )
                made[name] += summary.accounting.kept
    folder = sequences_folder(workspace, mixture, profile, budget_tokens)
    with locked(folder):
        record = _plan(
            workspace, folder, mixture, selection, profile, (budget_tokens, budget_tiles), seed
        )
    return Tokenized(folder=folder, record=record, new_ids=made["ids"], new_tiles=made["tiles"])


def _plan(
    workspace: Workspace,
    folder: Folder,
    mixture: str,
    selection: pl.DataFrame,
    profile: Profile,
    bounds: tuple[int, int | None],
    seed: int,
) -> PackingRecord:
    """Write `plan.arrow`, `dropped.parquet` and, last, `plan.json`."""
    shards = _Shards(workspace, selection, profile)
    usable = shards.usable
    lengths, counts = usable["tokens"].to_numpy(), usable["n_tiles"].to_numpy()
    if bounds[1] is None:
        packing, budget = pack_evenly(lengths, counts, bounds[0], seed=seed)
    else:
        budget = SequenceBudget(tokens=bounds[0], tiles=bounds[1])
        packing = pack(lengths, counts, budget, seed=seed)
    dropped = [*shards.dropped]
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
            f"{folder.url}: none of {len(selection):,} selected samples can be packed; see dropped"
        )
    tiles = [
        sum(int(usable["n_tiles"][s.sample]) for s in sequence) for sequence in packing.sequences
    ]
    documents = shards.documents(packing)
    reasons = sorted({d.reason for d in dropped})
    record = PackingRecord(
        version=PLAN_VERSION,
        mixture=mixture,
        lock_digest=digest_json(workspace.mixture(mixture).read_json(LOCK_FILE)),
        vocabulary=shards.vocabulary,
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
        corpora=shards.corpora,
        modalities=MODALITIES,
        ids_shards=shards.ids_shards,
        tile_shards=shards.tile_shards,
        plan_digest="",
        packing_digest="",
    )
    return write_plan(folder, documents, tiles, dropped, record)


class _Shards:
    """Joins a mixture's selection with the rows of ids and tiles in the caches."""

    def __init__(self, workspace: Workspace, selection: pl.DataFrame, profile: Profile):
        self.vocabulary = tokenizer.load(profile.chat.tokenizer).digest
        self.corpora = tuple(sorted(selection["corpus"].unique().to_list()))
        self.dropped: list[Dropped] = []
        ids_shards: dict[str, int] = {}
        tile_shards: dict[str, int] = {}
        frames = []
        self._media: dict[str, dict[str, tuple[int, int, int]]] = {}
        for corpus in self.corpora:
            mine = _with_digests(workspace, corpus, selection.filter(pl.col("corpus") == corpus))
            ids = cache.frames(
                ids_cache(workspace, profile, corpus),
                cache.INDEX_SUFFIX,
                **ids_info(self.vocabulary),
            )
            # Two runs at once may both have made a sample: any of the copies, always the same.
            ids = ids.unique(
                ["part", "part_row", "id", "digest"], keep="first", maintain_order=True
            )
            joined = mine.join(
                ids.with_columns(
                    pl.col("shard").replace_strict(
                        _number(ids["shard"].unique().sort().to_list(), ids_shards),
                        return_dtype=pl.Int32,
                    )
                ).rename({"row": "ids_row", "shard": "ids_shard"}),
                left_on=["part", "row", "id", "digest"],
                right_on=["part", "part_row", "id", "digest"],
                how="left",
            )
            frames.append(self._with_media(workspace, corpus, joined, profile, tile_shards))
        self.usable = pl.concat(frames).sort("sample")
        self.ids_shards = tuple(ids_shards)
        self.tile_shards = tuple(tile_shards)

    def _with_media(
        self,
        workspace: Workspace,
        corpus: str,
        joined: pl.DataFrame,
        profile: Profile,
        tile_shards: dict[str, int],
    ) -> pl.DataFrame:
        """Drop the samples whose media could not be cut as planned; remember where the rest lie."""
        store = tiles_cache(workspace, profile, corpus)
        index = cache.frames(store, cache.INDEX_SUFFIX, **tiles_info())
        places: dict[str, tuple[int, int, int]] = {}
        if len(index):
            number = _number(index["shard"].unique().sort().to_list(), tile_shards)
            for digest, shard, row, tiles in index.select(
                "digest", "shard", "row", "tiles"
            ).iter_rows():
                places.setdefault(digest, (number[shard], row, tiles))
        gone = cache.frames(store, cache.DROPPED_SUFFIX, **tiles_info())
        reasons = {r["id"]: (r["reason"], r["detail"]) for r in gone.iter_rows(named=True)}
        self._media[corpus] = places
        keep = []
        for row in joined.iter_rows(named=True):
            fault = _fault(row, places, reasons)
            keep.append(fault is None)
            if fault:
                self.dropped.append(
                    Dropped(id=row["id"], stage="tokenize", reason=fault[0], detail=fault[1])
                )
        return joined.filter(pl.Series(keep, dtype=pl.Boolean))

    def documents(self, packing: Packing) -> list[list[PackedDocument]]:
        """Return the documents of each sequence, with the places of their rows."""
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


def _with_digests(workspace: Workspace, corpus: str, selection: pl.DataFrame) -> pl.DataFrame:
    """Add each pick's digest: a corpus curated anew may hold another sample under an old id."""
    digests = [
        curated_rows(workspace, corpus, part, ["digest"]).select(
            pl.lit(part).alias("part"), pl.col("row").cast(pl.Int64), "digest"
        )
        for part in selection["part"].unique().sort().to_list()
    ]
    return selection.join(pl.concat(digests), on=["part", "row"], how="left")


def _number(names: list[str], known: dict[str, int]) -> dict[str, int]:
    return {name: known.setdefault(name, len(known)) for name in names}


def _fault(
    row: Mapping[str, Any],
    places: Mapping[str, tuple[int, int, int]],
    reasons: Mapping[str, tuple[str, str]],
) -> tuple[str, str] | None:
    if row["tokens"] is None:
        return "tokenize-failed", "its ids are not in the cache"
    for digest, planned in zip(row["media"], row["tiles"], strict=True):
        if digest not in places:
            return reasons.get(digest, ("media-missing", f"no tiles of {digest}"))
        if places[digest][2] != planned:
            return "plan-mismatch", f"{places[digest][2]} tiles; {planned} planned"
    return None


def ids_cache(workspace: Workspace, profile: Profile, corpus: str) -> Folder:
    """`ids/<profile>/<corpus>`: generations of token ids."""
    return workspace.child("ids", profile.name, corpus)


def tiles_cache(workspace: Workspace, profile: Profile, corpus: str) -> Folder:
    """`tiles/<pixel profile>/<corpus>`: generations of tiles."""
    return workspace.child("tiles", f"{profile.pixel.name}-{profile.pixel.digest()}", corpus)
