"""The loader: one global order, O(1) state, any number of ranks; damage is named."""

import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smolmix.engine.stage import RunOptions
from smolmix.errors import IncompleteError, IntegrityError, UsageError
from smolmix.pipelines.pretokenize.run import Tokenized, tokenize_mixture
from smolmix.profiles import Profile, profile
from smolmix.storage import Folder
from smolmix.tokenize.loader import Loader, SequenceDataset
from smolmix.tokenize.shards.local import LocalCopies
from smolmix.workspace import Workspace


@pytest.fixture
def dataset(filled: Workspace, tokenized: Tokenized) -> SequenceDataset:
    return SequenceDataset(filled, tokenized.folder)


def _key(item: dict[str, Any]) -> tuple[Any, ...]:
    return (*item["samples"], item["input_ids"].sum().item(), item["tiles"].sum().item())


def _take(loader: Loader, count: int) -> list[int]:
    places = []
    for item, _ in zip(loader, range(count), strict=False):
        places.append(item["place"])
        if len(places) == count:
            break
    return places


def assert_same_after_resume(
    dataset: SequenceDataset, cut: int, before: int, after: int, total: int
) -> None:
    """Cut after `cut` steps of `before` ranks, go on with `after` ranks: one unbroken order."""
    seen: list[int] = []
    states = []
    for rank in range(before):
        loader = Loader(dataset, rank=rank, world_size=before, workers=rank % 2)
        seen += _take(loader, cut) if cut else []
        states.append(loader.state_dict())
    assert all(s == states[0] for s in states)
    state = json.loads(json.dumps(states[0]))
    assert len(json.dumps(state)) < 200
    for rank in range(after):
        loader = Loader(dataset, rank=rank, world_size=after, workers=(rank + 1) % 2)
        loader.load_state_dict(state)
        seen += _take(loader, (total - cut * before) // after)
    reached = cut * before + (total - cut * before) // after * after
    assert sorted(seen) == list(range(reached))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(cut=st.integers(0, 6), before=st.integers(1, 4), after=st.integers(1, 4))
def test_resumes_anywhere_under_another_world_size(
    dataset: SequenceDataset, cut: int, before: int, after: int
) -> None:
    assert_same_after_resume(dataset, cut, before, after, 2 * len(dataset))


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 2), (3, 1), (4, 3)])
def test_all_ranks_together_are_the_epoch_without_repeats(
    dataset: SequenceDataset, world: int, workers: int
) -> None:
    wanted = sorted(_key(dataset[i]) for i in range(len(dataset)))
    found, epochs = [], 2
    for rank in range(world):
        loader = Loader(dataset, rank=rank, world_size=world, workers=workers, epochs=epochs)
        found += [(item["place"] // len(dataset), _key(item)) for item in loader]
    for epoch in range(epochs):
        assert sorted(k for e, k in found if e == epoch) == wanted
    assert len(wanted) == len(dataset) > 5


def test_the_order_depends_on_seed_and_epoch_alone(dataset: SequenceDataset) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = Loader(dataset, seed=seed)
        return [loader.sequence(epoch, i) for i in range(len(dataset))]

    assert order(0, 0) == order(5, 0) == list(range(len(dataset)))  # the mix's own order
    assert order(0, 1) == order(0, 1) != order(1, 1)
    assert order(0, 1) != order(0, 2)
    assert sorted(order(3, 7)) == list(range(len(dataset)))


def test_a_place_in_other_sequences_is_refused(
    dataset: SequenceDataset, filled: Workspace, nano: Profile
) -> None:
    state = Loader(dataset).state_dict()
    other = SequenceDataset(
        filled, tokenize_mixture(filled, "m", nano, 256, options=RunOptions(quiet=True)).folder
    )
    with pytest.raises(UsageError, match="resume on the mixture"):
        Loader(other).load_state_dict(state)
    with pytest.raises(UsageError, match="seed"):
        Loader(dataset, seed=1).load_state_dict(state)
    with pytest.raises(UsageError, match="rank 2 of 2"):
        Loader(dataset, rank=2, world_size=2)


def test_items_are_packed_documents(dataset: SequenceDataset) -> None:
    assert len(dataset) > 3
    for i in range(len(dataset)):
        item = dataset[i]
        edges = item["boundaries"].tolist()
        assert edges[-1] == len(item["input_ids"]) <= 512
        starts = (item["position_ids"] == 0).nonzero().flatten().tolist()
        assert starts == edges[:-1]
        assert len(item["corpora"]) == len(item["modalities"]) == len(starts)
        assert str(item["tiles"].dtype) == "torch.uint8"


def test_long_texts_are_split_and_lose_nothing(dataset: SequenceDataset, filled: Workspace) -> None:
    selection = pl.read_parquet(filled.mixture("m").local("selection.parquet"))
    pieces: dict[str, int] = {}
    for i in range(len(dataset)):
        for sample in dataset[i]["samples"]:
            pieces[selection["id"][sample]] = pieces.get(selection["id"][sample], 0) + 1
    assert {k: v for k, v in pieces.items() if v > 1} == {f"said/{i}": 2 for i in (30, 31, 32)}


def test_a_dataset_can_be_pickled_and_read_in_workers(dataset: SequenceDataset) -> None:
    from torch.utils.data import DataLoader

    again = pickle.loads(pickle.dumps(dataset))
    assert _key(again[3]) == _key(dataset[3])
    loaded = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert sum(1 for _ in loaded) == len(dataset)


def _shards(workspace: Workspace, kind: str) -> list[Path]:
    return sorted(Path(workspace.path, kind).rglob("*.arrow"))


def _read_all(workspace: Workspace, folder: Folder) -> None:
    dataset = SequenceDataset(workspace, folder)
    for i in range(len(dataset)):
        dataset[i]


@pytest.mark.parametrize("kind", ["ids", "tiles", "sequences"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_damage_is_named_refused_and_repaired(
    filled: Workspace, nano: Profile, kind: str, damage: str
) -> None:
    from smolmix.pipelines.pretokenize.verify import verify

    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert verify(made.folder, filled, sample=1.0).checked_rows > 60
    path = max(_shards(filled, kind), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 3] ^= 0x10
        path.write_bytes(data)
    with pytest.raises(IntegrityError, match=path.name):
        _read_all(filled, made.folder)
    with pytest.raises(IntegrityError, match=path.name):
        verify(made.folder, filled)
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    _read_all(filled, again.folder)
    assert again.record == made.record


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_running_the_verb_again_repairs_what_is_cut_or_gone(
    filled: Workspace, nano: Profile, damage: str
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    for path in (*_shards(filled, "ids")[:1], *_shards(filled, "tiles")[:1]):
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-100])
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert again.record == made.record
    assert again.new_ids
    assert again.new_tiles
    _read_all(filled, again.folder)


def test_flipping_any_byte_of_a_row_is_noticed(filled: Workspace, nano: Profile) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    rng = np.random.default_rng(0)
    caught = 0
    for path in (_shards(filled, "tiles")[0], _shards(filled, "ids")[0]):
        whole = path.read_bytes()
        before = SequenceDataset(filled, made.folder)
        wanted = [_key(before[i]) for i in range(len(before))]
        for _ in range(20):
            data = bytearray(whole)
            at = int(rng.integers(8, len(data) - 8))
            data[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
            try:
                after = SequenceDataset(filled, made.folder)
                assert [_key(after[i]) for i in range(len(after))] == wanted
            except IntegrityError as error:
                caught += path.name in str(error)
        path.write_bytes(whole)
    assert caught > 15


def test_a_plan_that_is_not_there_is_named(filled: Workspace) -> None:
    with pytest.raises(IncompleteError, match="smolmix tokenize"):
        SequenceDataset(filled, "sequences/m/none")


def test_a_remote_workspace_is_read_through_a_bounded_cache(
    filled: Workspace, nano: Profile, tmp_path: Path
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    local = SequenceDataset(filled, made.folder)
    memory = fsspec.filesystem("memory")
    memory.put(filled.path, "/loader-test", recursive=True)
    try:
        remote = Workspace("memory://loader-test")
        folder = "/".join(Path(made.folder.path).parts[-3:])
        sizes = [p.stat().st_size for kind in ("ids", "tiles") for p in _shards(filled, kind)]
        plan = Path(made.folder.path, "plan.arrow").stat().st_size
        bound = max(*sizes, plan) + 1000
        copies = LocalCopies(remote, tmp_path / "copies", bound)
        dataset = SequenceDataset(remote, folder, copies=copies)
        for i in range(len(dataset)):
            assert _key(dataset[i]) == _key(local[i])
            assert sum(p.stat().st_size for p in copies.copies()) <= bound
        assert len(copies.copies()) >= 1
        again = pickle.loads(pickle.dumps(dataset))
        assert _key(again[0]) == _key(local[0])
    finally:
        memory.rm("/loader-test", recursive=True)


class NotedSequences(SequenceDataset):
    """Remembers which sequences were read."""

    read: list[int]

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read.append(index)
        return super().__getitem__(index)


def test_resuming_reads_one_sequence_and_its_shards_alone(
    filled: Workspace, tokenized: Tokenized
) -> None:
    dataset = NotedSequences(filled, tokenized.folder)
    dataset.read = []
    last = len(dataset) - 1
    documents, record = dataset.plan.documents(last), dataset.record
    used = {record.ids_shards[d.ids_shard] for d in documents}
    used |= {record.tile_shards[n] for d in documents for n in d.tile_shards}
    unused = {*record.ids_shards, *record.tile_shards} - used
    for name in unused:
        filled.local(name).unlink()
    loader = Loader(dataset, workers=0)
    loader.load_state_dict({**loader.state_dict(), "consumed": last})
    assert next(iter(loader))["place"] == last
    assert dataset.read == [last]
    assert len(unused) > 0


def test_profiles_survive_the_record(dataset: SequenceDataset) -> None:
    assert dataset.record.profile == profile("nano", style="inference")
