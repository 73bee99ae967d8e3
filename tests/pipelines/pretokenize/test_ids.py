"""Ids are encoded once for each sample, in the place where the index says they are."""

import polars as pl
from tests.support.small_workspace import image_medium, put_curated, sample

from smolmix import curated
from smolmix.engine.stage import RunOptions
from smolmix.pipelines.pretokenize.ids import ensure_ids, ids_folder, ids_index
from smolmix.profiles import Profile, profile
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.tokenize.shards.shards import IdsRow, Shard
from smolmix.workspace import Workspace

QUIET = RunOptions(quiet=True)


def wanted(part: str, *rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"part": [part] * len(rows), "row": rows}, schema_overrides={"row": pl.Int64}
    )


def put(workspace: Workspace, count: int = 12) -> None:
    images = [image_medium(workspace, i) for i in range(3)]
    put_curated(workspace, "c", [sample(i, "c", images[: i % 4]) for i in range(count)])


def test_an_uncached_corpus_has_an_empty_index(workspace: Workspace, nano: Profile) -> None:
    found = ids_index(workspace, nano, "c")
    assert found.is_empty()
    assert {"part", "part_row", "id", "digest", "tokens", "shard", "row"} <= set(found.columns)


def test_the_index_leads_to_the_ids_of_each_sample(workspace: Workspace, nano: Profile) -> None:
    put(workspace)
    assert ensure_ids(workspace, "c", wanted("part-00001", 4, 0, 2), nano, QUIET).kept == 3
    index = ids_index(workspace, nano, "c")
    assert index["part_row"].to_list() == [0, 2, 4]
    samples = dict(curated.read_samples_at(workspace.curated("c"), "part-00001", [0, 2, 4]))
    for row in index.iter_rows(named=True):
        one = samples[row["part_row"]]
        encoded = next(encode.encode([one], nano, tokenizer.load()))
        stored = Shard(workspace.local(row["shard"]), IdsRow).row(row["row"])
        assert stored.input_ids.tolist() == encoded.input_ids.tolist()
        assert (stored.id, stored.spans, stored.tiles) == (one.id, encoded.spans, encoded.tiles)
        assert stored.media == tuple(m.digest for m in one.media) == tuple(row["media"])
        assert (row["id"], row["digest"]) == (one.id, one.digest()) == (stored.id, stored.digest)
        assert (row["tokens"], row["supervised"]) == (len(encoded.input_ids), encoded.supervised)
        assert row["n_tiles"] == sum(row["tiles"]) == sum(encoded.tiles)


def test_only_missing_samples_are_encoded(workspace: Workspace, nano: Profile) -> None:
    put(workspace)
    new = [
        ensure_ids(workspace, "c", wanted("part-00000", *rows), nano, QUIET).kept
        for rows in ((0, 1), (0, 1), (1, 2, 3))
    ]
    assert new == [2, 0, 2]
    assert len(ids_index(workspace, nano, "c")) == 4


def test_another_chat_style_is_encoded_on_its_own(workspace: Workspace, nano: Profile) -> None:
    put(workspace)
    paper = profile("nano", style="paper")
    for made in (nano, paper):
        assert ensure_ids(workspace, "c", wanted("part-00000", 0), made, QUIET).kept == 1
    assert ids_folder(workspace, nano, "c").path != ids_folder(workspace, paper, "c").path


def test_the_same_sample_at_another_place_is_encoded_again(
    workspace: Workspace, nano: Profile
) -> None:
    put(workspace, 4)
    assert ensure_ids(workspace, "c", wanted("part-00000", 1), nano, QUIET).kept == 1
    put_curated(workspace, "c", [sample(i, "c") for i in (8, 0, 9)])  # c/0 is in row 1 now
    assert ensure_ids(workspace, "c", wanted("part-00000", 1), nano, QUIET).kept == 1
    assert ids_index(workspace, nano, "c")["id"].sort().to_list() == ["c/0", "c/1"]
