"""Generates answers to prompts in batches, with transformers' own generation.

`answer_prompts` reads the media of many prompts, batches prompts of similar length and returns
text; `generate` is one batch, ids in and ids out. Decoding is greedy unless a temperature is given.
"""

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
from smolmix.model.eval.prompts import Prompt, PromptTiles, read_tiles
from smolmix.model.train.step import averaging, embeddings, pixels
from smolmix.profiles import PixelProfile, Profile
from smolmix.tokenize.chat.tokenizer import Vocabulary
from smolmix.workspace import Workspace

_BATCH_BYTES = 256 << 20  # of a batch's fp32 pixels, padding included, if no tiles are given
_DECODED_BYTES = 1 << 30  # of decoded uint8 tiles in memory at once

Watch = Callable[[int, int], None]  # called with how many questions, of how many, are answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How much goes through the model at once, padding included. Changes no answer."""

    prompts: int = 96
    tiles: int | None = None  # None: as many as 256 MiB of pixels hold
    tokens: int = 32_768
    decoded_tiles: int | None = None  # in memory at once; None: as many as 1 GiB holds

    def __post_init__(self) -> None:
        bounds = (self.prompts, self.tiles, self.tokens, self.decoded_tiles)
        if min(bound for bound in bounds if bound is not None) < 1:
            raise UsageError(f"batch {self}: prompts, tiles and tokens are at least 1")

    def batches(
        self,
        order: Sequence[int],
        tokens: Sequence[int],
        tiles: Sequence[int],
        pixel: PixelProfile,
    ) -> Iterator[list[int]]:
        """Yield batches of prompts in order; a prompt beyond a bound is a batch of its own.

        A batch is padded to its longest prompt and to its most tiles.

        Args:
            order: indices of prompts.
            tokens: of each prompt, by index.
            tiles: of each prompt, by index.
            pixel: decides the size of a tile.
        """
        most_tiles = self.tiles or max(1, _BATCH_BYTES // (3 * 4 * pixel.tile_px**2))
        batch: list[int] = []
        longest = widest = 0
        for at in order:
            longer, wider = max(longest, tokens[at]), max(widest, tiles[at])
            size = len(batch) + 1
            over = size > self.prompts or size * longer > self.tokens or size * wider > most_tiles
            if batch and over:
                yield batch
                batch, longer, wider = [], tokens[at], tiles[at]
            batch.append(at)
            longest, widest = longer, wider
        if batch:
            yield batch


def answer_prompts(
    model: Any,
    prompts: Sequence[Prompt],
    profile: Profile,
    workspace: Workspace,
    vocabulary: Vocabulary,
    *,
    max_new_tokens: int,
    batching: Batching | None = None,
    watch: Watch = lambda _done, _all: None,
) -> list[str]:
    """Return the model's answer to each prompt.

    Args:
        model: a SmolVLM, on its device.
        prompts: in the order in which their media are stored, for fast reading.
        profile: as the model was trained with.
        workspace: holds the media.
        vocabulary: decodes the answers.
        max_new_tokens: longest answer.
        batching: how much goes through the model at once.
        watch: called after each batch.
    """
    batching = batching or Batching()
    tiles = [media_tiles(p.media, profile.pixel) for p in prompts]
    tokens = [len(p.input_ids) for p in prompts]
    texts = [""] * len(prompts)
    done = 0
    model.eval()
    room = batching.decoded_tiles or _DECODED_BYTES // (3 * profile.pixel.tile_px**2)
    for window in _windows(prompts, tiles, room):
        reader = MediaReader(workspace)
        decoded = {}
        for at in window:
            key = prompts[at].media
            if key not in decoded:
                decoded[key] = read_tiles(prompts[at], reader, profile.pixel)
        order = sorted(window, key=lambda at: tokens[at])
        for batch in batching.batches(order, tokens, tiles, profile.pixel):
            out = generate(
                model,
                [prompts[at].input_ids for at in batch],
                [decoded[prompts[at].media] for at in batch],
                max_new_tokens=max_new_tokens,
            )
            for at, ids in zip(batch, out, strict=True):
                texts[at] = vocabulary.decode(ids, skip_special=True).strip()
            done += len(batch)
            watch(done, len(prompts))
    return texts


@torch.inference_mode()
def generate(
    model: Any,
    ids: Sequence[NDArray[Any]],
    tiles: Sequence[PromptTiles],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    streamer: Any = None,
) -> list[list[int]]:
    """Return the ids that the model answers each prompt with, without the end of utterance.

    Args:
        model: a SmolVLM.
        ids: token ids of each prompt.
        tiles: what each prompt shows.
        max_new_tokens: longest answer.
        temperature: 0 takes the likeliest token each time.
        streamer: of transformers, called with each token; for a single prompt.
    """
    inputs = batch_inputs(ids, [t.tiles for t in tiles], model.device)
    groups = averaging([n for t in tiles for n in t.groups], model.device)
    if groups is not None:  # transformers' forward does not average
        del inputs["pixel_values"]
        joined = torch.cat([t.tiles for t in tiles]).to(model.device)
        visual = (inputs["input_ids"] == IMAGE_ID).flatten().nonzero().squeeze(1)
        inputs["inputs_embeds"] = embeddings(model, inputs["input_ids"], visual, joined, groups)
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


def batch_inputs(
    ids: Sequence[NDArray[Any]], tiles: Sequence[Tensor], device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Return prompts as the arguments of `generate`: ids padded on the left, tiles with zeros.

    Args:
        ids: token ids of each prompt.
        tiles: (tiles, 3, edge, edge) uint8 of each prompt.
        device: of the model.

    Returns:
        `input_ids` and `attention_mask` (prompts, longest) int64; if there are tiles,
        `pixel_values` (prompts, most tiles, 3, edge, edge) fp32.
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
        # transformers ignores tiles of zeros; no real tile normalises to zeros.
        values = torch.zeros(len(tiles), most, *next(t for t in tiles if len(t)).shape[1:])
        for row, one_tiles in enumerate(tiles):
            values[row, : one_tiles.shape[0]] = pixels(one_tiles, torch.float32)
        found["pixel_values"] = values.to(device)
    return found


def _windows(prompts: Sequence[Prompt], tiles: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield runs of prompts whose media, each counted once, have at most `room` tiles."""
    window: list[int] = []
    seen: set[object] = set()
    used = 0
    for at, prompt in enumerate(prompts):
        extra = 0 if prompt.media in seen else tiles[at]
        if window and used + extra > room:
            yield window
            window, seen, used, extra = [], set(), 0, tiles[at]
        window.append(at)
        seen.add(prompt.media)
        used += extra
    if window:
        yield window
