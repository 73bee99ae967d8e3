"""A packing plan on disk: complete when its record is there, damaged files are named."""

from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest

from smolmix.errors import IncompleteError, IntegrityError, UsageError
from smolmix.profiles import Profile, profile
from smolmix.sample import Dropped
from smolmix.storage import Folder
from smolmix.tokenize.shards.local import LocalCopies
from smolmix.tokenize.shards.packing_plan import (
    PLAN_VERSION,
    PackedDocument,
    PackingPlan,
    PackingRecord,
    is_plan,
    packing_digest,
    plans,
    sequence_sizes,
    sequences_folder,
    withdraw_if_damaged,
    write_plan,
)
from smolmix.workspace import Workspace

NANO = profile("nano", style="inference")


def document(sample: int, start: int, stop: int, media: int = 0) -> PackedDocument:
    return PackedDocument(
        sample=sample, corpus=0, modality=1 if media else 0, ids_shard=0, ids_row=sample,
        start=start, stop=stop, tile_shards=(0,) * media, tile_rows=tuple(range(media)),
    )  # fmt: skip


SEQUENCES = [[document(0, 0, 30), document(1, 0, 70, media=2)], [document(2, 0, 100)]] * 600
TILES = [9, 0] * 600
DROPPED = [Dropped(id="c/9", stage="tokenize", reason="too-long", detail="900 tokens")]


def record_of(made: Profile = NANO, **changes: object) -> PackingRecord:
    one = PackingRecord(
        version=PLAN_VERSION, mixture="m", lock_digest="l", vocabulary="v",
        pixel=asdict(made.pixel), chat=asdict(made.chat), budget_tokens=100, budget_tiles=9,
        window=4096, seed=0, sequences=len(SEQUENCES), documents=1800, tokens=120_000,
        supervised_tokens=5, tiles=5400, fill=1.0, tiles_p50=0, tiles_p99=9,
        dropped={"too-long": 1}, corpora=("c",), modalities=("text", "image"),
        ids_shards=("ids/a.arrow",), tile_shards=("tiles/a.arrow",), plan_digest="",
        packing_digest="",
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]  # keywords by name


@pytest.fixture
def folder(workspace: Workspace) -> Folder:
    return sequences_folder(workspace, "m", NANO, 100)


def open_plan(workspace: Workspace, folder: Folder) -> PackingPlan:
    return PackingPlan.open(LocalCopies(workspace), workspace, folder, PackingRecord.read(folder))


def test_a_plan_is_in_the_folder_of_its_mixture_profile_and_length(folder: Folder) -> None:
    assert folder.path.endswith(f"/sequences/m/{NANO.name}-100")


def test_what_is_written_is_read(workspace: Workspace, folder: Folder) -> None:
    written = write_plan(folder, SEQUENCES, TILES, DROPPED, record_of())
    assert PackingRecord.read(folder) == written
    assert written.packing_digest == packing_digest(SEQUENCES)
    plan = open_plan(workspace, folder)
    assert len(plan) == 1200
    for number in (0, 1, 1023, 1024, 1199):  # record batches hold 1,024 sequences
        assert plan.documents(number) == tuple(SEQUENCES[number])
    with pytest.raises(IndexError, match="sequence 1200; the plan has 1200"):
        plan.documents(1200)
    sizes = sequence_sizes(folder)
    assert sizes["tokens"].to_pylist() == [100] * 1200
    assert sizes["tiles"].to_pylist() == TILES
    dropped = pl.read_parquet(folder.local("dropped.parquet"))
    assert dropped.select("id", "reason").rows() == [("c/9", "too-long")]


def test_the_record_keeps_the_profile(folder: Folder) -> None:
    made = replace(NANO, chat=replace(NANO.chat, system_prompts=(("vqa", "Short."),)))
    write_plan(folder, SEQUENCES, TILES, [], record_of(made))
    assert PackingRecord.read(folder).profile == made


def test_the_digest_is_of_the_content_not_of_where_it_is_stored() -> None:
    one = record_of(packing_digest=packing_digest(SEQUENCES))
    assert replace(one, ids_shards=("ids/b.arrow",), plan_digest="x").digest == one.digest
    for changed in ({"vocabulary": "w"}, {"lock_digest": "k"}, {"packing_digest": "p"}):
        assert replace(one, **changed).digest != one.digest  # type: ignore[arg-type]  # keywords by name
    assert packing_digest(SEQUENCES) != packing_digest(SEQUENCES[::-1])
    assert packing_digest([[document(0, 0, 5)], [document(1, 0, 5)]]) != packing_digest(
        [[document(0, 0, 5), document(1, 0, 5)]]
    )


def test_only_complete_plans_are_listed(workspace: Workspace, folder: Folder) -> None:
    assert plans(workspace, "m") == []
    write_plan(folder, SEQUENCES, TILES, [], record_of())
    half = sequences_folder(workspace, "m", NANO, 200)
    half.write_bytes("plan.arrow", b"what a killed run leaves")
    assert is_plan(folder)
    assert not is_plan(half)
    assert [f.name for f in plans(workspace, "m")] == [folder.name]
    with pytest.raises(IncompleteError, match=r"no plan\.json; run `smolmix tokenize` first"):
        PackingRecord.read(half)


def test_another_version_is_refused_with_both_numbers(folder: Folder) -> None:
    write_plan(folder, SEQUENCES, TILES, [], record_of())
    folder.write_json("plan.json", folder.read_json("plan.json") | {"version": 1})
    with pytest.raises(
        UsageError, match=f"plan version 1; this smolmix reads version {PLAN_VERSION}"
    ):
        PackingRecord.read(folder)


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_a_damaged_plan_is_named_and_withdrawn(
    workspace: Workspace, folder: Folder, damage: str
) -> None:
    record = write_plan(folder, SEQUENCES, TILES, [], record_of())
    assert withdraw_if_damaged(folder, record) == ""
    path = Path(folder.local("plan.arrow"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flipped" else data[: len(data) // 2])
    with pytest.raises(IntegrityError, match=r"plan\.arrow: .*run `smolmix tokenize` again"):
        open_plan(workspace, folder)
    assert "plan.arrow: missing or changed" in withdraw_if_damaged(folder, record)
    assert not is_plan(folder)


def test_a_plan_that_is_written_again_is_incomplete_until_its_record_is(folder: Folder) -> None:
    write_plan(folder, SEQUENCES, TILES, [], record_of())
    with pytest.raises(ValueError, match="zip"):  # tiles of one sequence are missing
        write_plan(folder, SEQUENCES, TILES[:-1], [], record_of())
    assert not is_plan(folder)
