"""Prompts as the training data has them, up to where the model is to answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smolmix.media import MediaReader
from smolmix.profiles import PixelProfile, Profile
from smolmix.sample import Media, Sample
from smolmix.tokenize import image, video
from smolmix.tokenize.chat import encode
from smolmix.tokenize.tokenizer import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the model reads, and what it should say."""

    sample: str  # id
    turn: int  # which of the sample's answers
    category: str
    subset: str
    question: str
    expected: str
    input_ids: NDArray[np.int64]
    media: tuple[Media, ...]  # as the prompt shows them


def prompts(
    samples: Sequence[Sample], profile: Profile, vocabulary: Vocabulary
) -> Iterator[Prompt]:
    """Yield a prompt for each answer in the samples, earlier turns as they were written."""
    for sample, encoded in zip(samples, encode(samples, profile, vocabulary), strict=True):
        shown = tuple(sample.media[i] for i in encoded.media)
        answers = [i for i, t in enumerate(sample.turns) if t.role == "assistant" and i > 0]
        for place, (turn, (start, _)) in enumerate(zip(answers, encoded.spans, strict=True)):
            yield Prompt(
                sample=sample.id,
                turn=place,
                category=sample.category,
                subset=sample.subset,
                question=sample.turns[turn - 1].text.strip(),
                expected=sample.turns[turn].text.strip(),
                input_ids=encoded.input_ids[:start].astype(np.int64),
                media=shown,
            )


def media_tiles(media: Media, blobs: Sequence[bytes], profile: PixelProfile) -> image.Tiles:
    """Return the tiles of one medium, (tiles, tile_px, tile_px, 3) uint8."""
    if media.kind == "image":
        return image.split(image.decode(blobs[0], exif=profile.exif), profile)[1]
    return video.clip_tiles(media, blobs, profile)


def tiles_of(prompt: Prompt, reader: MediaReader, profile: PixelProfile) -> torch.Tensor:
    """Return the tiles a prompt shows, (tiles, 3, tile_px, tile_px) uint8."""
    edge = profile.tile_px
    parts = [media_tiles(m, reader.read_all(m), profile) for m in prompt.media]
    joined = np.concatenate(parts) if parts else np.empty((0, edge, edge, 3), np.uint8)
    return torch.from_numpy(np.ascontiguousarray(joined.transpose(0, 3, 1, 2)))
