"""Prompts: training conversations up to where the model is to answer, and the tiles they show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from smolmix.cost import tile_groups
from smolmix.media import MediaReader
from smolmix.profiles import PixelProfile, Profile
from smolmix.sample import Media, Sample
from smolmix.tokenize.chat.encode import encode
from smolmix.tokenize.chat.render import is_document
from smolmix.tokenize.chat.tokenizer import Vocabulary
from smolmix.tokenize.tiles import image, video


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the model reads, and the expected answer."""

    sample: str  # id
    turn: int  # which of the sample's answers
    category: str
    subset: str
    question: str
    expected: str
    input_ids: NDArray[np.int64]
    media: tuple[Media, ...]  # in the order in which the prompt shows them
    tile_groups: tuple[int, ...]  # tiles averaged to each visual block


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTiles:
    """The tiles that a prompt shows, and how many the model averages to each visual block."""

    tiles: torch.Tensor  # (tiles, 3, tile_px, tile_px) uint8
    groups: tuple[int, ...]  # tiles of each block, in order

    @classmethod
    def of(
        cls, parts: Sequence[image.Tiles], groups: tuple[int, ...], profile: PixelProfile
    ) -> "PromptTiles":
        """Return the joined tiles of several media, each (tiles, tile_px, tile_px, 3) uint8."""
        edge = profile.tile_px
        joined = np.concatenate(parts) if parts else np.empty((0, edge, edge, 3), np.uint8)
        tiles = torch.from_numpy(np.ascontiguousarray(joined.transpose(0, 3, 1, 2)))
        return cls(tiles=tiles, groups=groups)


def completion_profile(profile: Profile) -> Profile:
    """Return the profile with the loss on answers alone, so that its spans are the answers."""
    return replace(profile, chat=replace(profile.chat, loss="completion"))


def prompts(
    samples: Sequence[Sample], profile: Profile, vocabulary: Vocabulary
) -> Iterator[Prompt]:
    """Yield a prompt for each answer in the samples; earlier turns are those of the data.

    Plain text has no question, so it gives no prompt.
    """
    samples = [s for s in samples if not is_document(s)]
    encodings = encode(samples, completion_profile(profile), vocabulary)
    for sample, encoded in zip(samples, encodings, strict=True):
        shown = tuple(sample.media[i] for i in encoded.media)
        groups = averaged_groups(shown, encoded.tiles, profile)
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
                tile_groups=groups,
            )


def averaged_groups(
    media: Sequence[Media], tiles: Sequence[int], profile: Profile
) -> tuple[int, ...]:
    """Return how many tiles the model averages to each visual block, over all media.

    Args:
        media: as shown.
        tiles: of each medium.
        profile: says how many frames of a clip are averaged.
    """
    average = profile.chat.frame_average
    pairs = zip(media, tiles, strict=True)
    return tuple(n for medium, count in pairs for n in tile_groups(medium.kind, count, average))


def decode_medium(media: Media, blobs: Sequence[bytes], profile: PixelProfile) -> image.Tiles:
    """Return the tiles of one medium, (tiles, tile_px, tile_px, 3) uint8."""
    if media.kind == "image":
        return image.split(image.decode(blobs[0], exif=profile.exif), profile)[1]
    return video.clip_tiles(media, blobs, profile)


def read_tiles(prompt: Prompt, reader: MediaReader, profile: PixelProfile) -> PromptTiles:
    """Return the tiles that a prompt shows, read from the workspace."""
    parts = [decode_medium(m, reader.read_all(m), profile) for m in prompt.media]
    return PromptTiles.of(parts, prompt.tile_groups, profile)
