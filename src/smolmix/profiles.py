"""Profiles: what fixes the tiles (`PixelProfile`) and the token ids (`ChatProfile`) of a sample.

A `Profile` joins the two; its digest names the folders of counts, ids and sequences.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, Self, TypeVar

import xxhash
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from smolmix.config import StrictModel
from smolmix.errors import UsageError, nearest

Style = Literal["inference", "released", "paper"]


def _digest(value: object) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(value, sort_keys=True).encode())[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelProfile:
    """How images become tiles and videos become frames.

    Source: facts of the released checkpoints' preprocessor configs (SmolVLM 256M, 500M, 2.2B).
    """

    name: str
    tile_px: int  # the vision encoder's input edge
    longest_edge_px: int  # an image is resized, up or down, to this longest edge
    tokens_per_tile: int  # after pixel shuffle
    max_edge_px: int = 4096  # neither edge exceeds this after resizing
    split: bool = True  # into sub-images plus the global one; off: one squashed tile
    upscale: bool = True  # off: an image is never enlarged beyond a whole number of tiles
    resize: Literal["exact", "fast"] = "exact"
    exif: Literal["ignore", "apply"] = "ignore"  # transformers ignores EXIF orientation
    fps: float = 1.0
    max_frames: int = 64
    codec: str = "source"  # source (an image's own bytes) | raw | png | jpeg:Q
    frame_codec: str = "jpeg:95"  # of video frames where `codec` is "source"

    def digest(self) -> str:
        """Twelve hex digits that name what the tiles depend on."""
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatProfile:
    """How turns become token ids and a loss mask."""

    style: Style = "released"
    position_tokens: Literal["learned", "string"] = "learned"
    loss: Literal["completion", "full"] = "completion"
    tokenizer: str = "smollm2"  # the vocabulary's digest is recorded with the ids
    system_prompt: bool = True  # off for ablation
    system_prompts: tuple[tuple[str, str], ...] = ()  # (category or "*", prompt): the style's own
    media_intro: bool = True  # intro and outro around media; off for ablation
    frame_average: Annotated[int, Field(ge=1)] = 1  # frames averaged to one block; ablation only

    def digest(self) -> str:
        """Twelve hex digits that name what the ids depend on."""
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything that decides a sample's ids and tiles."""

    pixel: PixelProfile
    chat: ChatProfile

    @property
    def name(self) -> str:
        """Name of a folder, readable and unique: preset, style and digest."""
        return f"{self.pixel.name}-{self.chat.style}-{self.digest()}"

    def digest(self) -> str:
        """Twelve hex digits over both halves, without the storage codec and resize.

        Token ids do not depend on how tiles are stored or how exactly they are resized.
        """
        pixel = asdict(replace(self.pixel, codec="", frame_codec="", resize="exact"))
        return _digest([pixel, asdict(self.chat)])


PIXEL_PRESETS: dict[str, PixelProfile] = {
    p.name: p
    for p in (
        PixelProfile(
            name="nano", tile_px=32, longest_edge_px=64, tokens_per_tile=4, max_frames=8, fps=2.0
        ),
        PixelProfile(name="256m", tile_px=512, longest_edge_px=2048, tokens_per_tile=64),
        PixelProfile(name="500m", tile_px=512, longest_edge_px=2048, tokens_per_tile=64),
        PixelProfile(name="2.2b", tile_px=384, longest_edge_px=1536, tokens_per_tile=81),
    )
}


def pixel_preset(name: str) -> PixelProfile:
    """Return the preset of that name.

    Raises:
        UsageError: no preset has that name.
    """
    if name not in PIXEL_PRESETS:
        raise UsageError(
            f"profile {name!r} is unknown; known: {', '.join(PIXEL_PRESETS)}"
            f"{nearest(name, PIXEL_PRESETS)}"
        )
    return PIXEL_PRESETS[name]


def profile(name: str, *, style: Style = "released") -> Profile:
    """Return the preset `name` joined with a chat style.

    Raises:
        UsageError: no preset has that name.
    """
    return Profile(pixel=pixel_preset(name), chat=ChatProfile(style=style))


def chat_profile(style: Style, **changes: Any) -> ChatProfile:
    """Return the chat profile of a style, with fields changed.

    Raises:
        UsageError: a field or a value is unknown.
    """
    return _changed(ChatProfile(style=style), changes, ("style",))


class ProfileChoice(StrictModel):
    """A profile as specs and recipes write it: a preset, a style, and fields that differ.

    `256m`, or `{preset: nano, style: inference, pixel: {split: false}, chat: {loss: full}}`.
    """

    preset: str = "256m"
    style: Style = "released"
    pixel: dict[str, Any] = {}  # fields of `PixelProfile`
    chat: dict[str, Any] = {}  # fields of `ChatProfile`

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"preset": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        try:
            self.profile()
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self

    def __str__(self) -> str:
        """Return preset, style, and what differs from them: `2.2b, released`."""
        changes = [f"{k} {v}" for half in (self.pixel, self.chat) for k, v in half.items()]
        return ", ".join([self.preset, self.style, *changes])

    def profile(self) -> Profile:
        """Return the profile.

        Raises:
            UsageError: the preset, a field or a value is unknown.
        """
        return Profile(
            pixel=_changed(pixel_preset(self.preset), self.pixel, ("name",)),
            chat=chat_profile(self.style, **self.chat),
        )


_Half = TypeVar("_Half", PixelProfile, ChatProfile)


def _changed(half: _Half, changes: Mapping[str, Any], fixed: tuple[str, ...]) -> _Half:
    before = asdict(half)
    allowed = [name for name in before if name not in fixed]
    for name in changes:
        if name not in allowed:
            raise UsageError(
                f"profile: no field {name!r}; allowed: {', '.join(allowed)}{nearest(name, allowed)}"
            )
    try:
        return TypeAdapter(type(half)).validate_python(before | dict(changes))
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"profile: {'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}"
        ) from error
