"""Prompts: the training conversation up to each answer, with its media."""

from dataclasses import replace

import numpy as np
from msgspec import structs
from tests.support.toy import NANO, conversation, samples

from smolmix.media import MediaReader
from smolmix.model.eval.prompts import (
    PromptTiles,
    averaged_groups,
    completion_profile,
    prompts,
    read_tiles,
)
from smolmix.profiles import Profile
from smolmix.sample import turns_of
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.chat.encode import encode
from smolmix.workspace import Workspace


def averaging(frames: int) -> Profile:
    return replace(NANO, chat=replace(NANO.chat, frame_average=frames))


def test_a_prompt_ends_where_the_answer_begins() -> None:
    (one,) = prompts([conversation(("what color?", "red"))], NANO, tokenizer.load())
    text = tokenizer.load().decode(one.input_ids.tolist())
    assert text.endswith("what color?<end_of_utterance>\nAssistant:")
    assert (one.question, one.expected, one.turn) == ("what color?", "red", 0)


def test_each_answer_is_a_prompt_that_begins_with_the_turns_before() -> None:
    talk = conversation(("first?", "one"), ("second?", "two"), ("third?", "three"))
    found = list(prompts([talk], NANO, tokenizer.load()))
    assert [p.turn for p in found] == [0, 1, 2]
    assert [p.question for p in found] == ["first?", "second?", "third?"]
    (encoded,) = encode([talk], completion_profile(NANO), tokenizer.load())
    for prompt, (start, _) in zip(found, encoded.spans, strict=True):
        assert (prompt.input_ids == encoded.input_ids[:start]).all()
    assert "Assistant: one" in tokenizer.load().decode(found[1].input_ids.tolist())


def test_plain_text_has_no_prompt() -> None:
    turns = turns_of(("assistant", "Once upon a time."))
    text = structs.replace(conversation(("q?", "a")), turns=turns)
    assert list(prompts([text], NANO, tokenizer.load())) == []


def test_the_loss_on_all_text_changes_no_prompt() -> None:
    full = replace(NANO, chat=replace(NANO.chat, loss="full"))
    talk = [conversation(("q?", "a"), ("r?", "b"))]
    pairs = zip(*(prompts(talk, p, tokenizer.load()) for p in (NANO, full)), strict=True)
    assert [(a.input_ids == b.input_ids).all() for a, b in pairs] == [True, True]


def test_tiles_are_those_of_the_media_as_shown(workspace: Workspace) -> None:
    shown = samples(workspace, {})
    found = list(prompts(shown, NANO, tokenizer.load()))
    reader = MediaReader(workspace)
    counts = set()
    for prompt in found[:12]:
        tiles = read_tiles(prompt, reader, NANO.pixel)
        assert tiles.tiles.shape[1:] == (3, NANO.pixel.tile_px, NANO.pixel.tile_px)
        assert len(tiles.tiles) == sum(tiles.groups)
        counts.add(len(tiles.tiles))
    assert len(counts) > 3
    assert 0 in counts


def test_frames_are_averaged_in_groups_and_images_never(workspace: Workspace) -> None:
    by_kind = {m.kind: m for s in samples(workspace, {}) for m in s.media}
    media = [by_kind["image"], by_kind["video"]]
    assert averaged_groups(media, [3, 5], averaging(1)) == (1,) * 8
    assert averaged_groups(media, [3, 5], averaging(2)) == (1, 1, 1, 2, 2, 1)


def test_joined_tiles_are_channels_first() -> None:
    part = np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3)
    joined = PromptTiles.of([part, part[:1]], (1, 1, 1), NANO.pixel)
    assert joined.tiles.shape == (3, 3, 32, 32)
    assert (joined.tiles[2].numpy() == part[0].transpose(2, 0, 1)).all()
    assert PromptTiles.of([], (), NANO.pixel).tiles.shape == (0, 3, 32, 32)
