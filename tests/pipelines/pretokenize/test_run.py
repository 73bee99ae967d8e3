"""From a mixture's selection to ids, tiles and packed sequences."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from smolmix.engine.stage import RunOptions
from smolmix.media import MediaReader
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import Profile, profile
from smolmix.sample import Sample
from smolmix.schema import from_table
from smolmix.tokenize.chat import encode, special, tokenizer
from smolmix.tokenize.loader import SequenceDataset
from smolmix.tokenize.tiles.codec import decode_tiles
from smolmix.tokenize.tiles.cutting import cut
from smolmix.workspace import Workspace, part_files


def _curated(workspace: Workspace, corpus: str) -> Iterator[Sample]:
    folder = workspace.curated(corpus)
    for name in part_files(folder):
        yield from from_table(pq.read_table(folder.local(name)))


def test_counts_are_row_for_row_and_equal_what_is_produced(
    filled: Workspace, nano: Profile
) -> None:
    ensure_counts(filled, ["seen", "said"], nano, RunOptions(quiet=True))
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    dataset = SequenceDataset(filled, made.folder)
    counted = {}
    for corpus in ("seen", "said"):
        folder = filled.counts(nano.name, corpus)
        for name in part_files(folder):
            for row in pl.read_parquet(folder.local(name)).iter_rows(named=True):
                assert row["tokens"] == row["text_tokens"] + row["visual_tokens"]
                counted[row["id"]] = row
    selection = pl.read_parquet(filled.mixture("m").local("selection.parquet"))
    tokens: dict[str, int] = {}
    tiles: dict[str, int] = {}
    supervised = 0
    for i in range(len(dataset)):
        item = dataset[i]
        edges = item["boundaries"].tolist()
        image = special.IMAGE_ID
        for pick, a, b in zip(item["samples"], edges[:-1], edges[1:], strict=True):
            key = selection["id"][pick]
            tokens[key] = tokens.get(key, 0) + b - a
            shown = int((item["input_ids"][a:b] == image).sum())
            tiles[key] = tiles.get(key, 0) + shown // nano.pixel.tokens_per_tile
        supervised += int((item["labels"] != -100).sum())
        assert item["tiles"].shape[1:] == (3, 32, 32)
        assert len(item["tiles"]) * 4 == int((item["input_ids"] == image).sum())
    assert tokens == {k: r["tokens"] for k, r in counted.items()}
    assert tiles == {k: r["tiles"] for k, r in counted.items()}
    assert supervised == sum(r["supervised_tokens"] for r in counted.values())


def test_what_is_loaded_is_what_the_samples_encode_to(filled: Workspace, nano: Profile) -> None:
    made = tokenize_mixture(filled, "m", nano, 4096, options=RunOptions(quiet=True))
    dataset = SequenceDataset(filled, made.folder)
    selection = pl.read_parquet(filled.mixture("m").local("selection.parquet"))
    samples = {s.id: s for c in ("seen", "said") for s in _curated(filled, c)}
    vocabulary, reader, checked = tokenizer.load(), MediaReader(filled), 0
    for i in range(len(dataset)):
        item = dataset[i]
        edges, at = item["boundaries"].tolist(), 0
        for pick, a, b in zip(item["samples"], edges[:-1], edges[1:], strict=True):
            sample = samples[selection["id"][pick]]
            encoded = next(encode.encode([sample], nano, vocabulary))
            assert item["input_ids"][a:b].tolist() == encoded.input_ids.tolist()
            assert item["labels"][a:b].tolist() == encoded.labels().tolist()
            assert item["position_ids"][a:b].tolist() == list(range(b - a))
            for index in encoded.media:
                row = cut(sample.media[index], reader.read_all(sample.media[index]), nano.pixel)
                wanted = decode_tiles([bytes(x) for x in row.blobs], row.codec, nano.pixel)
                got = item["tiles"][at : at + len(wanted)].permute(0, 2, 3, 1)
                assert torch.equal(got, torch.from_numpy(wanted.copy()))
                at += len(wanted)
            checked += 1
        assert at == len(item["tiles"])
    assert checked == len(samples) == made.record.documents


def test_seven_conversations_on_one_clip_store_its_frames_once(
    filled: Workspace, nano: Profile
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert made.new_tiles == 8  # six images, two clips
    assert made.new_ids == 69


def test_only_what_is_not_cached_is_made(filled: Workspace, nano: Profile) -> None:
    tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert (again.new_ids, again.new_tiles) == (0, 0)
    other = tokenize_mixture(filled, "m", nano, 1024, options=RunOptions(quiet=True))
    assert (other.new_ids, other.new_tiles) == (0, 0)


def test_changing_the_prompt_re_tiles_nothing(filled: Workspace, nano: Profile) -> None:
    tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    other = tokenize_mixture(
        filled, "m", profile("nano", style="paper"), 512, options=RunOptions(quiet=True)
    )
    assert (other.new_ids, other.new_tiles) == (69, 0)


@pytest.mark.parametrize("codec", ["raw", "png", "jpeg:90"])
def test_codecs_keep_what_they_promise(filled: Workspace, nano: Profile, codec: str) -> None:
    exact = SequenceDataset(
        filled, tokenize_mixture(filled, "m", nano, 4096, options=RunOptions(quiet=True)).folder
    )
    other = replace(nano, pixel=replace(nano.pixel, codec=codec))
    assert other.name == nano.name  # ids are shared
    made = tokenize_mixture(filled, "m", other, 4096, options=RunOptions(quiet=True))
    assert made.new_ids == 0
    stored = SequenceDataset(filled, made.folder)
    worst = 0
    for i in range(len(stored)):
        picture = [m != "video" for m in stored[i]["modalities"]]
        if all(picture):
            gap = (stored[i]["tiles"].int() - exact[i]["tiles"].int()).abs()
            worst = max(worst, int(gap.max()) if gap.numel() else 0)
    assert worst == 0 if codec != "jpeg:90" else worst < 64
