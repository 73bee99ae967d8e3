"""Answers: transformers' own generation over batches of prompts, greedy unless asked otherwise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from smolmix.cost import media_tiles
from smolmix.errors import UsageError
from smolmix.media import MediaReader
from smolmix.model.arch.presets import EOS_ID, IMAGE_ID, PAD_ID
from smolmix.model.arch.varlen_attention import plain_attention
from smolmix.model.eval.prompts import Prompt, Shown, tiles_of
from smolmix.model.train.step import averaging, embeddings, pixels
from smolmix.profiles import PixelProfile, Profile
from smolmix.tokenize.chat.tokenizer import Vocabulary
from smolmix.workspace import Workspace


def batch_inputs(
    ids: Sequence[NDArray[Any]], tiles: Sequence[Tensor], device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Return prompts as the arguments of `generate`: ids padded on the left, tiles with zeros.

    Args:
        ids: token ids of each prompt.
        tiles: (tiles, 3, edge, edge) uint8 of each.
        device: where the model is.
    """
    longest = max(len(i) for i in ids)
    inputs = torch.full((len(ids), longest), PAD_ID)
    mask = torch.zeros((len(ids), longest), dtype=torch.long)
    for row, one in enumerate(ids):
        inputs[row, longest - len(one) :] = torch.as_tensor(one)
        mask[row, longest - len(one) :] = 1
    found = {"input_ids": inputs.to(device), "attention_mask": mask.to(device)}
    most = max(t.shape[0] for t in tiles)
    if most:
        # A tile of zeros is one that transformers leaves out; no real tile normalises to zeros.
        values = torch.zeros(len(tiles), most, *next(t for t in tiles if len(t)).shape[1:])
        for row, one_tiles in enumerate(tiles):
            values[row, : one_tiles.shape[0]] = pixels(one_tiles, torch.float32)
        found["pixel_values"] = values.to(device)
    return found


@torch.inference_mode()
def generate(
    model: Any,
    ids: Sequence[NDArray[Any]],
    shown: Sequence[Shown],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    streamer: Any = None,
) -> list[list[int]]:
    """Return the ids the model answers each prompt with, its end of utterance left out.

    Args:
        model: a SmolVLM.
        ids: token ids of each prompt.
        shown: what each shows.
        max_new_tokens: longest answer.
        temperature: 0 takes the likeliest token each time.
        streamer: of transformers, told of each token; for one prompt.
    """
    inputs = batch_inputs(ids, [s.tiles for s in shown], model.device)
    groups = averaging([n for s in shown for n in s.groups], model.device)
    if groups is not None:  # transformers' forward does not average
        del inputs["pixel_values"]
        tiles = torch.cat([s.tiles for s in shown]).to(model.device)
        visual = (inputs["input_ids"] == IMAGE_ID).flatten().nonzero().squeeze(1)
        inputs["inputs_embeds"] = embeddings(model, inputs["input_ids"], visual, tiles, groups)
    with plain_attention(model):
        out = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            temperature=temperature if temperature > 0 else None,
            top_p=None,
            top_k=None,
            eos_token_id=EOS_ID,
            pad_token_id=PAD_ID,
            streamer=streamer,
        )
    answers = []
    for row in out[:, inputs["input_ids"].shape[1] :].tolist():
        end = row.index(EOS_ID) if EOS_ID in row else len(row)
        answers.append(row[:end])
    return answers


_PIXEL_BYTES = 256 << 20  # of a batch's padded fp32 tiles, unless its tiles are bounded by hand

_WINDOW_BYTES = 1 << 30  # of decoded uint8 tiles held at once

Watch = Callable[[int, int], None]  # is told how many questions of how many are answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How much goes through the model at once, padding counted."""

    prompts: int = 96
    tiles: int | None = None  # None: 256 MiB of pixels
    tokens: int = 32_768

    def __post_init__(self) -> None:
        if min(self.prompts, self.tokens, 1 if self.tiles is None else self.tiles) < 1:
            raise UsageError(f"batch {self}: prompts, tiles and tokens are at least 1")

    def most_tiles(self, pixel: PixelProfile) -> int:
        """Return how many tiles a batch may have."""
        return self.tiles or max(1, _PIXEL_BYTES // (3 * 4 * pixel.tile_px**2))


def batches(
    order: Sequence[int],
    tokens: Sequence[int],
    tiles: Sequence[int],
    most: Batching,
    most_tiles: int,
) -> Iterator[list[int]]:
    """Yield batches of prompts in order; one that alone is beyond a bound stands alone.

    Args:
        order: places of prompts.
        tokens: of each prompt, by place.
        tiles: of each prompt, by place.
        most: bounds; a batch is padded to its longest prompt and its most tiles.
        most_tiles: of a batch.
    """
    batch: list[int] = []
    longest = widest = 0
    for at in order:
        longer, wider = max(longest, tokens[at]), max(widest, tiles[at])
        size = len(batch) + 1
        over = size > most.prompts or size * longer > most.tokens or size * wider > most_tiles
        if batch and over:
            yield batch
            batch, longer, wider = [], tokens[at], tiles[at]
        batch.append(at)
        longest, widest = longer, wider
    if batch:
        yield batch


def answers(
    model: Any,
    asked: Sequence[Prompt],
    profile: Profile,
    workspace: Workspace,
    vocabulary: Vocabulary,
    *,
    max_new_tokens: int,
    batching: Batching | None = None,
    watch: Watch = lambda _done, _all: None,
) -> list[str]:
    """Return what the model answers to each prompt; those of like length go together."""
    batching = batching or Batching()
    tiles = [media_tiles(p.media, profile.pixel) for p in asked]
    tokens = [len(p.input_ids) for p in asked]
    said = [""] * len(asked)
    done = 0
    model.eval()
    for window in _windows(asked, tiles, profile.pixel):
        reader = MediaReader(workspace)
        shown = {}
        for at in window:  # media in the order in which they lie
            key = asked[at].media
            if key not in shown:
                shown[key] = tiles_of(asked[at], reader, profile.pixel)
        order = sorted(window, key=lambda at: tokens[at])
        bound = batching.most_tiles(profile.pixel)
        for batch in batches(order, tokens, tiles, batching, bound):
            out = generate(
                model,
                [asked[at].input_ids for at in batch],
                [shown[asked[at].media] for at in batch],
                max_new_tokens=max_new_tokens,
            )
            for at, ids in zip(batch, out, strict=True):
                said[at] = vocabulary.decode(ids, skip_special=True).strip()
            done += len(batch)
            watch(done, len(asked))
    return said


def _windows(
    asked: Sequence[Prompt], tiles: Sequence[int], pixel: PixelProfile
) -> Iterator[list[int]]:
    """Yield runs of prompts whose decoded tiles, each medium once, fit in memory together."""
    room = _WINDOW_BYTES // (3 * pixel.tile_px**2)
    window: list[int] = []
    seen: set[object] = set()
    used = 0
    for at, prompt in enumerate(asked):
        extra = 0 if prompt.media in seen else tiles[at]
        if window and used + extra > room:
            yield window
            window, seen, used, extra = [], set(), 0, tiles[at]
        window.append(at)
        seen.add(prompt.media)
        used += extra
    if window:
        yield window
