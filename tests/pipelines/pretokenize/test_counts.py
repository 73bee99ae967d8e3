"""Counts are row for row with the curated part, equal what is encoded, and open no medium."""

import polars as pl
from msgspec import structs
from tests.support import small_workspace
from tests.support.small_workspace import clip_medium, image_medium, put_curated, sample

from smolmix import cost, curated
from smolmix.counted import COUNTS_SCHEMA
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.profiles import Profile, profile
from smolmix.sample import FIND, Media, MediaRef
from smolmix.schema import COUNT_COLUMNS
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.workspace import Workspace, manifests


def counts_of(workspace: Workspace, made: Profile, corpus: str) -> pl.DataFrame:
    folder = workspace.counts(made.name, corpus)
    parts = curated.part_names(workspace.curated(corpus))
    return pl.concat(pl.read_parquet(folder.local(f"{p}.parquet")) for p in parts)


def not_fetched(medium: Media) -> Media:
    return structs.replace(medium, refs=(MediaRef(uri=f"{FIND}a.jpg"),), width=0, height=0)


def test_counts_are_those_of_encoding_row_for_row(filled: Workspace, nano: Profile) -> None:
    filled.child("raw").remove_tree()  # no medium is opened
    ensure_counts(filled, ["seen", "said"], nano)
    vocabulary, rows = tokenizer.load(), 0
    for corpus in ("seen", "said"):
        found = counts_of(filled, nano, corpus)
        assert found.columns == COUNTS_SCHEMA.names == ["id", *COUNT_COLUMNS, *found.columns[7:]]
        samples = list(curated.read_samples(filled.curated(corpus)))
        assert found["id"].to_list() == [s.id for s in samples]
        for row, one in zip(found.iter_rows(named=True), samples, strict=True):
            encoded = next(encode.encode([one], nano, vocabulary))
            assert row["tokens"] == len(encoded.input_ids)
            assert row["tokens"] == row["text_tokens"] + row["visual_tokens"]
            assert row["supervised_tokens"] == encoded.supervised
            assert row["tiles"] == sum(encoded.tiles) == cost.media_tiles(one.media, nano.pixel)
            assert (row["frames"] > 0) == (one.modality == "video")
            rows += 1
    assert rows == 69


def test_media_that_are_not_fetched_are_counted_on_their_own(
    workspace: Workspace, nano: Profile
) -> None:
    image, clip = image_medium(workspace, 1), clip_medium(workspace, 20)
    put_curated(
        workspace,
        "c",
        [
            sample(0, "c", [image]),
            sample(0, "c", [not_fetched(image)], id="c/image"),
            sample(0, "c", [image, not_fetched(image)], id="c/both"),
            sample(0, "c", [not_fetched(clip)], id="c/clip"),
        ],
    )
    ensure_counts(workspace, ["c"], nano)
    rows = {r["id"]: r for r in counts_of(workspace, nano, "c").iter_rows(named=True)}
    whole, image_row, both, clip_row = (rows[f"c/{k}"] for k in ("0", "image", "both", "clip"))
    assert (whole["unfetched_images"], whole["unfetched_clips"]) == (0, 0)
    assert (image_row["unfetched_images"], image_row["unfetched_clips"]) == (1, 0)
    assert (both["unfetched_images"], clip_row["unfetched_clips"]) == (1, 1)
    for row in (image_row, clip_row):
        assert (row["visual_tokens"], row["tiles"], row["frames"]) == (0, 0, 0)
        assert row["tokens"] == row["text_tokens"] > row["supervised_tokens"] > 0
    assert image_row["text_tokens"] == whole["text_tokens"]
    assert both["visual_tokens"] == whole["visual_tokens"] > 0
    assert clip_row["text_tokens"] > image_row["text_tokens"]  # the label of one frame


def test_only_changed_parts_are_counted_again(workspace: Workspace, nano: Profile) -> None:
    samples = [sample(i, "c") for i in range(8)]
    put_curated(workspace, "c", samples)
    ensure_counts(workspace, ["c"], nano)
    first = {m.unit: m.key for m in manifests(workspace.counts(nano.name, "c"))}
    changed = [*samples[:7], sample(7, "c", id="c/other")]
    put_curated(workspace, "c", changed)
    ensure_counts(workspace, ["c"], nano)
    second = {m.unit: m.key for m in manifests(workspace.counts(nano.name, "c"))}
    assert [unit for unit in first if first[unit] != second[unit]] == ["part-00001"]
    assert counts_of(workspace, nano, "c")["id"].to_list() == [s.id for s in changed]


def test_each_profile_has_counts_of_its_own(workspace: Workspace, nano: Profile) -> None:
    put_curated(workspace, "c", [sample(0, "c", [image_medium(workspace, 1)])])
    large = profile("256m", style="released")
    for made in (nano, large):
        ensure_counts(workspace, ["c"], made)
    tokens = [counts_of(workspace, made, "c")["tokens"][0] for made in (nano, large)]
    assert tokens[1] > 10 * tokens[0] > 0
    assert small_workspace.NANO["preset"] == nano.pixel.name
