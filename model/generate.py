"""Answers: transformers' own generation over batches of prompts, greedy unless asked otherwise."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from smolmix.model.documents import plain_attention
from smolmix.model.presets import EOS_ID, IMAGE_ID, PAD_ID
from smolmix.model.prompts import Shown
from smolmix.model.step import averaging, embeddings, pixels


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
