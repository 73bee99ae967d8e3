"""Loading packed sequences, in one global order that can be resumed at any position.

The order depends on the seed and the epoch alone. Rank r of N takes every N-th sequence. The state
is one number, the position in the global order: a run resumes where it stopped, with any number of
ranks and workers, and no sequence is repeated or skipped.

`SequenceDataset` is a plain PyTorch map-style dataset that other trainers can use;
`smolmix.tokenize.collate` joins its items into batches.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from smolmix.cost import tile_groups
from smolmix.errors import DataError, UsageError
from smolmix.profiles import PixelProfile
from smolmix.storage import Folder
from smolmix.tokenize.chat.encode import IGNORE
from smolmix.tokenize.shards.local import LocalCopies
from smolmix.tokenize.shards.packing_plan import PackedDocument, PackingPlan, PackingRecord
from smolmix.tokenize.shards.shards import IdsRow, R, Shard, TilesRow
from smolmix.tokenize.tiles.codec import decode_tiles
from smolmix.tokenize.tiles.image import ImageError
from smolmix.workspace import Workspace

_OPEN_SHARDS = 256


class SequenceDataset(Dataset[dict[str, Any]]):
    """The sequences of one packing plan, by number; it can be pickled and used after a fork."""

    def __init__(
        self,
        workspace: str | Folder,
        folder: str | Folder,
        *,
        copies: LocalCopies | None = None,
        load_tiles: bool = True,
    ):
        """Open a plan; shards are opened when a sequence is read.

        Args:
            workspace: a path, an fsspec URL or a folder; the shards' paths are relative to it.
            folder: `sequences/<mixture>/<profile>-<tokens>`, as a path below the workspace or a
                folder.
            copies: local copies of a remote workspace's files; default: a bounded cache in the
                user's cache folder.
            load_tiles: False omits the pixels.

        Raises:
            IncompleteError: the folder holds no complete plan.
            IntegrityError: the plan is damaged.
        """
        self._workspace = workspace if isinstance(workspace, Folder) else Workspace(workspace)
        self._folder = folder if isinstance(folder, Folder) else self._workspace.child(folder)
        self._copies = copies or LocalCopies(self._workspace)
        self._load_tiles = load_tiles
        self.record = PackingRecord.read(self._folder)
        self._pixel: PixelProfile = self.record.profile.pixel
        self._open()

    def _open(self) -> None:
        self.plan = PackingPlan.open(self._copies, self._workspace, self._folder, self.record)
        self._ids_shards: OrderedDict[str, Shard[IdsRow]] = OrderedDict()
        self._tile_shards: OrderedDict[str, Shard[TilesRow]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for opened in ("plan", "_ids_shards", "_tile_shards"):
            del state[opened]
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return self.record.sequences

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a sequence.

        Returns:
            `input_ids`, `labels`, `position_ids` (tokens,) int64: labels are -100 where not
            supervised, and not shifted; positions restart at 0 in each document. `boundaries`
            (documents + 1,) int32: cumulative lengths. `tiles` (tiles, 3, tile_px, tile_px) uint8.
            `tile_groups` (blocks,) int64: the number of tiles that each visual block averages, 1
            unless the profile averages frames. `corpora` and `modalities`: a name for each
            document. `samples`: the index of each document's sample in the mixture's selection.

        Raises:
            IntegrityError: a shard is missing or damaged; the message names it.
            DataError: a stored image cannot be decoded.
        """
        documents = self.plan.documents(index)
        ids = [self.ids_row(d) for d in documents]
        tokens = [row.input_ids[d.start : d.stop] for row, d in zip(ids, documents, strict=True)]
        input_ids = np.concatenate(tokens).astype(np.int64)
        labels = np.full(len(input_ids), IGNORE, np.int64)
        positions = np.empty(len(input_ids), np.int64)
        boundaries = np.cumsum([0, *map(len, tokens)]).astype(np.int32)
        for row, document, at in zip(ids, documents, boundaries[:-1].tolist(), strict=True):
            length = document.stop - document.start
            positions[at : at + length] = np.arange(length)
            for start, stop in row.spans:
                a, b = max(start, document.start), min(stop, document.stop)
                if a < b:
                    to = slice(at + a - document.start, at + b - document.start)
                    labels[to] = input_ids[to]
        tiles, groups = self._tiles(documents)
        return {
            "input_ids": torch.from_numpy(input_ids),
            "labels": torch.from_numpy(labels),
            "position_ids": torch.from_numpy(positions),
            "boundaries": torch.from_numpy(boundaries),
            "tiles": tiles,
            "tile_groups": torch.tensor(groups, dtype=torch.long),
            "corpora": tuple(self.record.corpora[d.corpus] for d in documents),
            "modalities": tuple(self.record.modalities[d.modality] for d in documents),
            "samples": tuple(d.sample for d in documents),
        }

    def _shard(self, name: str, kind: type[R], opened: OrderedDict[str, Shard[R]]) -> Shard[R]:
        shard = opened.get(name)
        if shard is None:
            shard = Shard(self._copies.path(name), kind, where=f"{self._workspace.url}/{name}")
            opened[name] = shard
            if len(opened) > _OPEN_SHARDS:
                opened.popitem(last=False)
        return shard

    def ids_row(self, document: PackedDocument) -> IdsRow:
        """Return the stored row of a document's sample, all of its tokens.

        Raises:
            IntegrityError: the shard is missing or damaged.
        """
        name = self.record.ids_shards[document.ids_shard]
        return self._shard(name, IdsRow, self._ids_shards).row(document.ids_row)

    def tiles_row(self, shard: int, row: int) -> TilesRow:
        """Return the stored row of a medium.

        Args:
            shard: index into the record's `tile_shards`.
            row: in that shard.

        Raises:
            IntegrityError: the shard is missing or damaged.
        """
        name = self.record.tile_shards[shard]
        return self._shard(name, TilesRow, self._tile_shards).row(row)

    def _tiles(self, documents: Sequence[PackedDocument]) -> tuple[torch.Tensor, list[int]]:
        edge, average = self._pixel.tile_px, self.record.profile.chat.frame_average
        places = [
            place
            for d in documents
            for place in zip(d.tile_shards, d.tile_rows, strict=True)
            if self._load_tiles
        ]
        rows = [self.tiles_row(*place) for place in places]
        out = np.empty((sum(r.tiles for r in rows), edge, edge, 3), np.uint8)
        at = 0
        for row, place in zip(rows, places, strict=True):
            try:
                out[at : at + row.tiles] = decode_tiles(
                    [bytes(b) for b in row.blobs], row.codec, self._pixel
                )
            except (ImageError, ValueError) as error:
                name = self.record.tile_shards[place[0]]
                raise DataError(f"{name}: row {place[1]} cannot be decoded ({error})") from error
            at += row.tiles
        groups = [n for row in rows for n in tile_groups(row.kind, row.tiles, average)]
        return torch.from_numpy(out).permute(0, 3, 1, 2), groups


class Loader:
    """This rank's sequences, epoch after epoch, read ahead by worker threads.

    Decoding and resizing release the interpreter's lock, so that threads scale and nothing is
    copied between processes.
    """

    def __init__(
        self,
        dataset: SequenceDataset,
        *,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 2,
        ahead: int = 4,
        seed: int = 0,
        shuffle: bool = True,
        epochs: int | None = None,
        pin_memory: bool = False,
    ):
        """Start at the beginning; `load_state_dict` moves to another position.

        Args:
            dataset: the plan's sequences.
            rank: of this process, 0 to `world_size` - 1.
            world_size: number of ranks that share the order.
            workers: threads that read ahead; 0 reads each sequence when it is requested.
            ahead: sequences that are read ahead.
            seed: of the order of later epochs.
            shuffle: shuffle the epochs after the first. The first keeps the mixture's own order,
                in which every prefix has the mixture's shares.
            epochs: stop after this many; None never stops.
            pin_memory: put tensors in pinned memory, for faster transfer to a GPU.

        Raises:
            UsageError: `rank` is not below `world_size`.
        """
        if not 0 <= rank < world_size:
            raise UsageError(
                f"loader: rank {rank} of {world_size}; ranks are 0 to {world_size - 1}"
            )
        self.dataset = dataset
        self._rank, self._world = rank, world_size
        self._workers, self._ahead = workers, max(ahead, 1)
        self._seed, self._shuffle, self._epochs = seed, shuffle, epochs
        self._pin = pin_memory
        self._consumed = 0  # of the global order
        self._order: tuple[int, Any] = (-1, None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield this rank's sequences from the current position on."""
        if self._workers == 0:
            for number in self._numbers():
                yield self._next(self._load(number))
            return
        with ThreadPoolExecutor(self._workers, "smolmix-loader") as pool:
            waiting: list[Future[dict[str, Any]]] = []
            numbers = self._numbers()
            try:
                while True:
                    while len(waiting) < self._ahead and (n := next(numbers, None)) is not None:
                        waiting.append(pool.submit(self._load, n))
                    if not waiting:
                        return
                    yield self._next(waiting.pop(0).result())
            finally:
                for future in waiting:
                    future.cancel()

    def _next(self, item: dict[str, Any]) -> dict[str, Any]:
        self._consumed += self._world
        return item

    def _load(self, place: int) -> dict[str, Any]:
        epoch, index = divmod(place, len(self.dataset))
        item = self.dataset[self.sequence(epoch, index)]
        if self._pin:
            item = {k: v.pin_memory() if torch.is_tensor(v) else v for k, v in item.items()}
        item["place"] = place
        return item

    def _numbers(self) -> Iterator[int]:
        place = self._consumed + self._rank
        while self._epochs is None or place < self._epochs * len(self.dataset):
            yield place
            place += self._world

    def sequence(self, epoch: int, index: int) -> int:
        """Return the number of the sequence at a position of an epoch's order."""
        if epoch == 0 or not self._shuffle:
            return index
        known, order = self._order
        if known != epoch:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self.dataset))
            self._order = (epoch, order)
        return int(order[index])

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the global order, with the seed and the sequences' digest.

        All ranks return the same state once each has taken equally many sequences.
        """
        return {
            "consumed": self._consumed,
            "seed": self._seed,
            "digest": self.dataset.record.digest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Move to a position that was saved with any number of ranks and workers.

        Raises:
            UsageError: it was saved for other sequences or with another seed.
        """
        if state["digest"] != self.dataset.record.digest:
            raise UsageError(
                f"loader state: saved for sequences {state['digest']}, these are "
                f"{self.dataset.record.digest}; resume on the mixture that the run started with"
            )
        if state["seed"] != self._seed:
            raise UsageError(
                f"loader state: saved with seed {state['seed']}, this loader has {self._seed}; "
                "use the seed that the run started with"
            )
        self._consumed = int(state["consumed"])
