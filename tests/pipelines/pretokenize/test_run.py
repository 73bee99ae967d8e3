"""From a mixture's selection to ids, tiles and packed sequences; what is dropped has a reason."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import xxhash
from msgspec import structs
from tests.support import small_workspace

from smolmix import curated
from smolmix.engine.stage import RunOptions
from smolmix.errors import DataError, IntegrityError, StaleError, UsageError
from smolmix.media import MediaReader
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import Profile, profile
from smolmix.sample import Media, MediaRef, Sample, turns_of
from smolmix.tokenize.chat import encode, special, tokenizer
from smolmix.tokenize.loader import SequenceDataset
from smolmix.tokenize.tiles.codec import decode_tiles
from smolmix.tokenize.tiles.cutting import cut
from smolmix.workspace import Workspace, part_files


def test_sequences_hold_exactly_what_was_counted(filled: Workspace, nano: Profile) -> None:
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
    samples = {s.id: s for c in ("seen", "said") for s in curated.read_samples(filled.curated(c))}
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


def test_only_what_is_not_cached_is_written(filled: Workspace, nano: Profile) -> None:
    tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert (again.new_ids, again.new_tiles) == (0, 0)
    other = tokenize_mixture(filled, "m", nano, 1024, options=RunOptions(quiet=True))
    assert (other.new_ids, other.new_tiles) == (0, 0)


def test_another_chat_style_cuts_nothing_again(filled: Workspace, nano: Profile) -> None:
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


def _ids(dataset: SequenceDataset, workspace: Workspace) -> set[str]:
    selection = pl.read_parquet(workspace.mixture("m").local("selection.parquet"))
    return {selection["id"][s] for i in range(len(dataset)) for s in dataset[i]["samples"]}


def test_wrong_headers_damage_and_length_have_reasons_of_their_own(
    workspace: Workspace, nano: Profile
) -> None:
    good = small_workspace.image_medium(workspace, 1)
    liar = structs.replace(small_workspace.image_medium(workspace, 2, 64, 64), width=64, height=20)
    short = structs.replace(small_workspace.clip_medium(workspace, 20), frames=60, duration_s=7.5)
    cut = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
    workspace.write_bytes("raw/made/cut.png", cut)
    torn = structs.replace(good, refs=(MediaRef(uri="raw/made/cut.png"),),
                   digest=xxhash.xxh3_128_hexdigest(cut))  # fmt: skip
    gone = structs.replace(good, refs=(MediaRef(uri="raw/made/none.png"),), digest="0" * 32)
    media: dict[str, tuple[Media, ...]] = {
        "good": (good,), "liar": (liar,), "short": (short,), "torn": (torn,), "gone": (gone,),
        "many": (good,) * 30, "half": (good, torn),
    }  # fmt: skip
    samples: list[Sample] = [
        small_workspace.sample(i, "c", shown, id=f"c/{name}")
        for i, (name, shown) in enumerate(media.items())
    ]
    small_workspace.put_curated(workspace, "c", samples)
    small_workspace.put_selection(workspace, "m", ["c"])
    made = tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
    dropped = pl.read_parquet(made.folder.local("dropped.parquet"))
    reasons = dict(zip(dropped["id"], dropped["reason"], strict=True))
    assert reasons == {
        "c/liar": "plan-mismatch",
        "c/short": "plan-mismatch",
        "c/torn": "image-unreadable",
        "c/gone": "media-missing",
        "c/many": "too-long",
        "c/half": "image-unreadable",
    }
    assert made.record.dropped == {
        "image-unreadable": 2, "media-missing": 1, "plan-mismatch": 2, "too-long": 1,
    }  # fmt: skip
    dataset = SequenceDataset(workspace, made.folder)
    assert _ids(dataset, workspace) == {"c/good"}
    supervised = sum(int((dataset[i]["labels"] >= 0).sum()) for i in range(len(dataset)))
    assert made.record.supervised_tokens == supervised > 0  # none of a dropped sample
    again = tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
    assert (again.new_tiles, again.record) == (0, made.record)


def test_a_mixture_of_which_nothing_can_be_packed_is_refused(
    workspace: Workspace, nano: Profile
) -> None:
    gone = structs.replace(
        small_workspace.image_medium(workspace, 1), refs=(MediaRef(uri="raw/x"),)
    )
    small_workspace.put_curated(workspace, "c", [small_workspace.sample(0, "c", [gone])])
    small_workspace.put_selection(workspace, "m", ["c"])
    with pytest.raises(DataError, match="none of 1 selected samples"):
        tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
    with pytest.raises(DataError, match="smolmix mix build"):
        tokenize_mixture(workspace, "absent", nano, 512, options=RunOptions(quiet=True))


def test_an_unknown_codec_is_refused_before_any_work(filled: Workspace, nano: Profile) -> None:
    wrong = replace(nano, pixel=replace(nano.pixel, codec="webp"))
    with pytest.raises(UsageError, match="known: source, raw, png, jpeg"):
        tokenize_mixture(filled, "m", wrong, 512, options=RunOptions(quiet=True))
    assert not filled.child("ids").exists()


def test_another_sample_under_the_same_id_is_tokenized_again(
    workspace: Workspace, nano: Profile
) -> None:
    for text in ("one", "two"):
        changed = turns_of(("user", "Say it."), ("assistant", text))
        small_workspace.put_curated(workspace, "c", [small_workspace.sample(0, "c", turns=changed)])
        small_workspace.put_selection(workspace, "m", ["c"])
        made = tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
        item = SequenceDataset(workspace, made.folder)[0]
        from smolmix.tokenize.chat import tokenizer

        assert made.new_ids == 1
        assert text in tokenizer.load().decode(item["input_ids"].tolist())


def test_media_that_could_not_be_read_are_cut_once_they_can_be(
    workspace: Workspace, nano: Profile
) -> None:
    small_workspace.put_curated(
        workspace,
        "c",
        [
            small_workspace.sample(i, "c", [small_workspace.image_medium(workspace, i)])
            for i in range(3)
        ],
    )
    small_workspace.put_selection(workspace, "m", ["c"])
    place = workspace.local("raw/made/1-64x48.png")
    data = place.read_bytes()
    place.unlink()
    for _ in range(2):
        made = tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
        assert made.record.dropped == {"media-missing": 1}
    place.write_bytes(data)
    back = tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
    assert (back.new_ids, back.new_tiles, back.record.dropped) == (0, 1, {})
    assert _ids(SequenceDataset(workspace, back.folder), workspace) == {"c/0", "c/1", "c/2"}


def test_samples_that_two_runs_encoded_at_once_are_used_once(
    filled: Workspace, nano: Profile
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    for store in ("ids", "tiles"):  # as two runs at the same time leave them
        for corpus in filled.child(store).local().glob("*/*"):
            for generation in [p for p in corpus.iterdir() if p.is_dir()]:
                shutil.copytree(generation, generation.with_name(f"z{generation.name}"))
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert (again.new_ids, again.new_tiles) == (0, 0)
    assert again.record.documents == made.record.documents
    assert again.record.packing_digest == made.record.packing_digest


@pytest.mark.parametrize(
    ("store", "key"), [("ids", "version"), ("ids", "facts"), ("tiles", "facts")]
)
def test_what_another_version_wrote_is_not_used(
    filled: Workspace, nano: Profile, store: str, key: str
) -> None:
    first = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    for record in list(filled.child(store).local().rglob("stage.json")):
        value = json.loads(record.read_text())
        value["info"][key] -= 1
        record.write_text(json.dumps(value))
        record.parent.rename(record.parent.with_name("0"))  # a generation's name has its version
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert again.new_ids == (first.new_ids if store == "ids" else 0)
    assert again.new_tiles == (first.new_tiles if store == "tiles" else 0)
    assert first.new_ids > first.new_tiles > 0
    assert again.record.packing_digest == first.record.packing_digest


def test_a_selection_that_is_not_the_locks_is_refused(filled: Workspace, nano: Profile) -> None:
    folder = filled.mixture("m")
    lock, selection = folder.read_bytes("lock.json"), folder.read_bytes("selection.parquet")
    folder.remove("lock.json")  # a build that was killed before its end
    with pytest.raises(DataError, match=r"no lock\.json; run `smolmix mix build`"):
        tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    # Another build wrote over the first one's selection.
    small_workspace.put_selection(filled, "m", ["said"])
    folder.write_bytes("lock.json", lock)
    with pytest.raises(IntegrityError, match=r"lock\.json says .*smolmix mix build"):
        tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    folder.write_bytes("selection.parquet", selection)
    assert tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True)).new_ids > 0


def test_a_corpus_that_was_curated_again_needs_the_mixture_built_again(
    workspace: Workspace, nano: Profile
) -> None:
    samples = [small_workspace.sample(i, "c") for i in range(9)]
    small_workspace.put_curated(workspace, "c", samples)
    small_workspace.put_selection(workspace, "m", ["c"])
    for changed in (samples[1:], samples[:4]):  # rows moved; a part is gone
        small_workspace.put_curated(workspace, "c", changed)
        with pytest.raises(StaleError, match=r"c was curated again.*`smolmix mix build"):
            tokenize_mixture(workspace, "m", nano, 512, options=RunOptions(quiet=True))
    assert not workspace.child("ids").exists()


def test_any_number_of_workers_writes_the_same_bytes(filled: Workspace, nano: Profile) -> None:
    def digests() -> dict[str, str]:
        root = Path(filled.path)
        kinds = [root / k for k in ("ids", "tiles", "sequences")]
        files = [p for k in kinds for p in sorted(k.rglob("*")) if p.is_file()]
        return {
            str(p.relative_to(root)): xxhash.xxh3_64_hexdigest(p.read_bytes())
            for p in files
            if not p.name.startswith(".")
        }

    tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    alone = digests()
    for kind in ("ids", "tiles", "sequences"):
        filled.child(kind).remove_tree()
    tokenize_mixture(filled, "m", nano, 512, options=RunOptions(workers=2, quiet=True))
    assert digests() == alone
    assert len(alone) > 10
    assert np.all([len(v) == 16 for v in alone.values()])


def test_a_line_for_each_corpus_says_what_was_tokenized(
    filled: Workspace, nano: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["tokenize said", "tokenize seen"]
    counts = [[int(n) for n in re.findall(r"(\d+) (?:samples|images)", line)] for line in lines]
    assert sum(c[0] for c in counts) == made.new_ids
    assert sum(n for c in counts for n in c[1:]) == made.new_tiles > 0
    tokenize_mixture(filled, "m", nano, 512)
    assert ["up to date" in line for line in capsys.readouterr().err.splitlines()] == [True, True]
    tokenize_mixture(filled, "m", replace(nano, pixel=replace(nano.pixel, codec="png")), 512,
                     options=RunOptions(verbose=True))  # fmt: skip
    assert "tokenize-tiles seen: " in capsys.readouterr().err
    tokenize_mixture(filled, "m", nano, 256, options=RunOptions(quiet=True))
    assert capsys.readouterr().err == ""
