"""What an ablation changes trains, answers, and changes nothing else."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.sequences import Document, make_document, packed
from tests.support.small_workspace import (
    clip_medium,
    image_medium,
    put_curated,
    put_selection,
    sample,
)

from smolmix.engine.stage import RunOptions
from smolmix.errors import UsageError
from smolmix.media import MediaReader
from smolmix.model.arch.build import build, check_profile
from smolmix.model.arch.presets import (
    LM_NANO,
    LM_NANO_L,
    PRESETS,
    SIGLIP_NANO,
    SIGLIP_NANO_L,
    pairing,
)
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.eval.generate import generate
from smolmix.model.eval.load import open_checkpoint
from smolmix.model.eval.prompts import prompts, read_tiles
from smolmix.model.train.data import open_stages
from smolmix.model.train.recipe import Recipe, load_recipe
from smolmix.model.train.step import PackedModel, hidden_states, pack, visual_tokens
from smolmix.model.train.train import train
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import Profile, profile
from smolmix.tokenize.chat import encode, special, tokenizer
from smolmix.tokenize.chat.render import VisualBlock, markup, render
from smolmix.tokenize.collate import collate
from smolmix.tokenize.loader import SequenceDataset
from smolmix.workspace import Workspace

NANO = profile("nano", style="inference")


def averaging(frames: int) -> Profile:
    return replace(NANO, chat=replace(NANO.chat, frame_average=frames))


@pytest.fixture(scope="module")
def tiny() -> Any:
    return build(ModelSpec(preset="tiny"), seed=0).eval()


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    """Images, pairs of images, two clips of five and one frame, and text; mixture `m`."""
    images = [image_medium(workspace, i, 40 + 9 * i, 60) for i in range(3)]
    clips = [clip_medium(workspace, 20), clip_medium(workspace, 4)]
    media = [[i] for i in images] + [images[:2]] + [[c] for c in clips]
    put_curated(workspace, "seen", [sample(n, "seen", media[n % 6]) for n in range(12)])
    put_curated(workspace, "said", [sample(n, "said") for n in range(6)])
    put_selection(workspace, "m", ["seen", "said"])
    return workspace


# ── frame averaging ────────────────────────────────────────────────────────────────────────────


def test_averaged_frames_are_one_block_with_the_time_of_the_first(workspace: Workspace) -> None:
    one = sample(0, "c", [clip_medium(workspace, 20)])  # 5 frames at 2 a second
    by_frames = [
        [p for p in render(one, averaging(k)) if isinstance(p, VisualBlock)] for k in (1, 2, 4, 8)
    ]
    assert [[b.first_tile for b in blocks] for blocks in by_frames] == [
        [0, 1, 2, 3, 4], [0, 2, 4], [0, 4], [0],
    ]  # fmt: skip
    some = markup(render(one, averaging(2)), averaging(2))
    assert re.findall(r"Frame from (\d\d:\d\d):", some) == ["00:00", "00:01", "00:02"]
    assert "series of three frames" in some


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_counts_of_averaged_frames_equal_what_is_loaded(filled: Workspace, frames: int) -> None:
    wanted = averaging(frames)
    tokenize_mixture(filled, "m", NANO, 512, options=RunOptions(quiet=True))
    made = tokenize_mixture(filled, "m", wanted, 512, options=RunOptions(quiet=True))
    assert made.new_tiles == 0  # tiles stay one a frame
    ensure_counts(filled, ["seen", "said"], wanted, RunOptions(quiet=True))
    dataset, image_tokens, tiles, visual = SequenceDataset(filled, made.folder), 0, 0, 0
    for item in (dataset[i] for i in range(len(dataset))):
        shown = int((item["input_ids"] == special.IMAGE_ID).sum())
        assert int(item["tile_groups"].sum()) == len(item["tiles"])
        assert len(item["tile_groups"]) * 4 == shown
        assert pack(item).tile_groups is None or frames > 1
        image_tokens, tiles = image_tokens + shown, tiles + len(item["tiles"])
    plain = SequenceDataset(
        filled, tokenize_mixture(filled, "m", NANO, 512, options=RunOptions(quiet=True)).folder
    )
    assert tiles == plain.record.tiles
    samples = [sample(n, "seen", [clip_medium(filled, 20)]) for n in range(1)]
    for one, count in zip(samples, encode.count(samples, wanted, tokenizer.load()), strict=True):
        (encoded,) = encode.encode([one], wanted, tokenizer.load())
        assert count.tokens == len(encoded.input_ids)
        visual = sum(len(encode.block_ids(p.grid, wanted, tokenizer.load()))
                     for p in render(one, wanted) if isinstance(p, VisualBlock))  # fmt: skip
        assert count.visual_tokens == visual
        assert (count.frames, count.tiles) == (5, 5)
    assert image_tokens > 0


def test_blocks_are_the_mean_of_their_tiles(tiny: Any) -> None:
    tiles = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        each = visual_tokens(tiny, tiles).view(6, 4, -1)
        found = visual_tokens(tiny, tiles, torch.tensor([1, 2, 3])).view(3, 4, -1)
    by_hand = torch.stack([each[0], each[1:3].mean(0), each[3:].mean(0)])
    torch.testing.assert_close(found, by_hand)


def test_a_profile_without_averaging_keeps_its_digest() -> None:
    # Digests written down before averaging was built: caches of ids keep their names.
    assert profile("nano", style="inference").digest() == "d3c2bd8022c8"
    assert profile("256m").digest() == "fd0de33c747f"


def test_answers_to_averaged_frames_follow_the_trained_embeddings(
    tiny: Any, filled: Workspace
) -> None:
    """Greedy decoding by hand over the step's own states, an answer of three tokens."""
    wanted = averaging(2)
    asked = list(
        prompts(
            [sample(0, "seen", [clip_medium(filled, 20)]), sample(1, "said")],
            wanted, tokenizer.load(),
        )
    )  # fmt: skip
    reader = MediaReader(filled)
    shown = [read_tiles(p, reader, wanted.pixel) for p in asked]
    assert shown[0].groups == (2, 2, 1)
    found = generate(tiny, [p.input_ids for p in asked], shown, max_new_tokens=3)
    PackedModel(tiny)
    for one, what, answer in zip(asked, shown, found, strict=True):
        said: list[int] = []
        for _ in range(3):
            ids = np.concatenate([one.input_ids, said]).astype(np.int64)
            sequence = {
                "input_ids": ids, "labels": np.full(len(ids), -100),
                "position_ids": np.arange(len(ids)), "tiles": what.tiles,
                "tile_groups": what.groups,
            }  # fmt: skip
            with torch.no_grad():
                hidden = hidden_states(tiny, pack(sequence))
            said.append(int(tiny.lm_head(hidden[-1]).argmax()))
        assert answer == said


def test_transformers_batches_of_averaged_frames_are_refused(filled: Workspace) -> None:
    folder = tokenize_mixture(filled, "m", averaging(2), 512, options=RunOptions(quiet=True)).folder
    dataset = SequenceDataset(filled, folder)
    with pytest.raises(UsageError, match="averages frames"):
        collate([dataset[i] for i in range(len(dataset))])


# ── documents that see each other ──────────────────────────────────────────────────────────────


def test_documents_that_are_not_separate_are_one_long_document(tiny: Any) -> None:
    documents = [make_document(np.random.default_rng(i), tiles=i, text=9, modality="image")
                 for i in range(3)]  # fmt: skip
    whole: Document = {k: np.concatenate([d[k] for d in documents])
                       for k in ("ids", "labels", "tiles")} | {"modality": "image"}  # fmt: skip
    model = PackedModel(tiny)
    leaky = pack(packed(documents), separate_documents=False)
    with torch.no_grad():
        found = hidden_states(tiny, leaky)
        torch.testing.assert_close(found, hidden_states(tiny, pack(packed([whole]))))
        apart = pack(packed(documents))
        assert (hidden_states(tiny, apart) - found).abs().max() > 1e-2
        assert leaky.targets.tolist() == apart.targets.tolist()  # the same tokens in the loss
        assert leaky.documents.spans.tolist() == [0, len(leaky.input_ids)]
        assert leaky.supervised_in == apart.supervised_in
        assert not torch.allclose(model(leaky), model(apart), atol=1e-4)


def test_earlier_documents_change_a_document_only_if_documents_leak(tiny: Any) -> None:
    PackedModel(tiny)
    rng = np.random.default_rng(0)
    last = make_document(rng, tiles=1, text=8, modality="image")
    befores = [make_document(rng, tiles=0, text=8, modality="text") for _ in range(2)]
    for separate in (True, False):
        with torch.no_grad():
            a, b = (
                hidden_states(tiny, pack(packed([x, last]), separate_documents=separate))
                for x in befores
            )
        gap = float((a - b)[-len(last["ids"]) :].abs().max())
        assert gap == 0 if separate else gap > 1e-4


# ── what the recipe says goes with what is built ───────────────────────────────────────────────


def recipe(**changes: Any) -> dict[str, Any]:
    stage = {
        "name": "one", "mixture": "m", "sequence_tokens": 512, "sequences_per_step": 1, "steps": 2,
        "learning_rate": {"vision": 1e-3, "connector": 1e-3, "lm": 1e-3},
    }  # fmt: skip
    stage |= changes.pop("stage", {})
    base = {"name": "abl", "threads": 1, "profile": {"preset": "nano", "style": "inference"},
            "model": {"preset": "tiny"}, "stages": [stage]}  # fmt: skip
    return base | changes


def pair(shuffle: int, tokens: int) -> dict[str, Any]:
    return {
        "model": {"vision": "siglip-nano", "lm": "smollm2-nano", "shuffle": shuffle},
        "profile": {"preset": "nano", "style": "inference", "pixel": {"tokens_per_tile": tokens}},
    }


@pytest.mark.parametrize(
    "changes",
    [
        pair(1, 16),
        pair(4, 1),
        {"profile": {"preset": "nano", "style": "inference", "chat": {"frame_average": 4}}},
        {"profile": {"preset": "nano", "style": "released", "chat": {"loss": "full"}}},
        {"profile": {"preset": "nano", "style": "paper", "chat": {"position_tokens": "string"}}},
        {"stage": {"separate_documents": False}},
    ],
    ids=["shuffle-1", "shuffle-4", "frames-4", "full-loss", "string-positions", "leaky"],
)
def test_an_ablation_trains_and_answers(filled: Workspace, changes: Mapping[str, Any]) -> None:
    one = Recipe.model_validate(recipe(**changes))
    wanted = one.full_profile()
    made = tokenize_mixture(filled, "m", wanted, 512, options=RunOptions(quiet=True))
    done = train(one, Path(filled.run("abl").path), open_stages(filled, one), tensorboard=False)
    assert done.steps == 2
    if wanted.chat.loss == "full":
        assert made.record.supervised_tokens > 0.3 * made.record.tokens
    opened = open_checkpoint("abl", filled)
    assert opened.profile == wanted
    clips, text = sample(0, "seen", [clip_medium(filled, 20)]), sample(1, "said")
    picture = sample(2, "seen", [image_medium(filled, 1, 49, 60)])
    asked = list(prompts([clips, text, picture], wanted, tokenizer.load()))
    assert [p.expected for p in asked] == [
        "It is 0.",
        "It is 1. It is 1.",
        "It is 2. It is 2. It is 2.",
    ]
    reader = MediaReader(filled)
    shown = [read_tiles(p, reader, wanted.pixel) for p in asked]
    answers = generate(opened.model, [p.input_ids for p in asked], shown, max_new_tokens=2)
    assert len(answers) == 3


def test_full_loss_supervises_the_question_too_but_never_a_block(filled: Workspace) -> None:
    full = replace(NANO, chat=replace(NANO.chat, loss="full"))
    one = sample(0, "seen", [image_medium(filled, 1, 64, 64)])
    (encoded,) = encode.encode([one], full, tokenizer.load())
    inside = np.concatenate([encoded.input_ids[a:b] for a, b in encoded.spans])
    assert special.IMAGE_ID not in inside
    assert tokenizer.load().decode([int(i) for i in inside]).count("What is 0?") == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (pair(1, 4), "makes 16 tokens of a tile of 32 px; profile nano has 4"),
        (pair(4, 16), "tokens_per_tile: 1"),
        (
            pair(3, 4),
            "shuffle 3 does not divide siglip-nano's 4 patches per edge; allowed: 1, 2",
        ),
        ({"profile": "256m"}, "profile 256m has 64 of 512 px"),
    ],
)
def test_a_recipe_whose_profile_does_not_fit_its_model_is_refused(
    tmp_path: Path, changes: Mapping[str, Any], says: str
) -> None:
    import yaml

    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(recipe(**changes)))
    with pytest.raises(UsageError, match=re.escape(says)):
        load_recipe(path)


def test_a_checkpoint_that_does_not_fit_the_profile_is_refused(tiny: Any) -> None:
    check_profile(tiny, NANO.pixel)
    with pytest.raises(UsageError, match="tokens_per_tile: 4"):
        check_profile(tiny, replace(NANO.pixel, tokens_per_tile=16))


def test_nano_pairings_have_the_settings_of_the_nano_preset() -> None:
    same = pairing(SIGLIP_NANO, LM_NANO, 2)
    assert replace(same, name="nano") == PRESETS["nano"]
    large = pairing(SIGLIP_NANO_L, LM_NANO_L, 4)
    assert (large.tied, large.shuffle, large.vision.nano) == (True, 4, True)
    assert pairing(PRESETS["256m"].vision, LM_NANO, 4).tied is False
