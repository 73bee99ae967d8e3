"""One question to a checkpoint, with media that no corpus holds: files, or pictures in memory.

`prepare` turns words and media into ids and tiles exactly as training does; `ask` streams an
answer.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import TextIteratorStreamer

from smolmix.errors import UsageError
from smolmix.model.eval.generate import generate
from smolmix.model.eval.load import Opened
from smolmix.model.eval.prompts import (
    PromptTiles,
    averaged_groups,
    completion_profile,
    decode_medium,
)
from smolmix.profiles import Profile
from smolmix.sample import Media, MediaRef, Part, Sample, Turn
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.chat.encode import encode
from smolmix.tokenize.tiles.clip_index import AV_ERRORS, read_index
from smolmix.tokenize.tiles.image import ImageError, decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A medium of a question and its file's bytes."""

    media: Media
    content: bytes


def ask(
    opened: Opened,
    prompt: str,
    *,
    images: Sequence[str] = (),
    video: str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
) -> Iterator[str]:
    """Yield the answer's text piece by piece, as it is generated.

    Args:
        opened: the checkpoint.
        prompt: the question.
        images: files, shown before the prompt in this order.
        video: a file, shown before the prompt.
        max_new_tokens: longest answer.
        temperature: 0 takes the likeliest token each time.

    Raises:
        UsageError: a file cannot be read or decoded, or images and a video are given together.
    """
    if images and video:
        raise UsageError("generate: images and a video together; give --image or --video")
    exif = opened.profile.pixel.exif
    shown = [image_file(path, exif) for path in images] + ([video_file(video)] if video else [])
    vocabulary = tokenizer.load(opened.profile.chat.tokenizer)
    ids, tiles = prepare([*shown, prompt], opened.profile, vocabulary)
    yield from _stream(opened, vocabulary, ids, tiles, max_new_tokens, temperature)


def prepare(
    pieces: Sequence[str | Attachment], profile: Profile, vocabulary: tokenizer.Vocabulary
) -> tuple[NDArray[np.int64], PromptTiles]:
    """Return a question as the model reads it.

    Args:
        pieces: words and media, in order.
        profile: as the model was trained with.
        vocabulary: encodes the words.

    Returns:
        The prompt's ids (tokens,), up to where the answer begins, and its tiles.
    """
    attached = [piece for piece in pieces if isinstance(piece, Attachment)]
    parts, count = [], 0
    for piece in pieces:
        if isinstance(piece, str):
            parts.append(Part(text=piece))
        else:
            parts.append(Part(media=count))
            count += 1
    sample = Sample(
        id="ask", corpus="ask", modality="text", category="vqa", licence="", source_file="",
        source_row=0, media=tuple(a.media for a in attached),
        turns=(Turn(role="user", parts=tuple(parts)),
               Turn(role="assistant", parts=(Part(text="?"),))),
    )  # fmt: skip
    (encoded,) = encode([sample], completion_profile(profile), vocabulary)
    ids = encoded.input_ids[: encoded.spans[-1][0]].astype(np.int64)
    shown = [attached[i] for i in encoded.media]
    tiles = [decode_medium(a.media, (a.content,), profile.pixel) for a in shown]
    groups = averaged_groups([a.media for a in shown], encoded.tiles, profile)
    return ids, PromptTiles.of(tiles, groups, profile.pixel)


def image_file(path: str, exif: str) -> Attachment:
    """Return an image file.

    Args:
        path: the file.
        exif: `ignore` or `apply` the orientation stored in it.

    Raises:
        UsageError: it cannot be read or decoded.
    """
    content = _read(path)
    try:
        decoded = decode(content, exif=exif)
    except ImageError as error:
        raise UsageError(f"{path}: not an image that can be decoded ({error.reason})") from error
    media = Media(
        kind="image", refs=(MediaRef(uri=path),), width=decoded.width, height=decoded.height
    )
    return Attachment(media=media, content=content)


def video_file(path: str) -> Attachment:
    """Return a video file, with its size, frames and length.

    Raises:
        UsageError: it cannot be read or decoded, or has no frame.
    """
    content = _read(path)
    return Attachment(media=video_media(path, content), content=content)


def video_media(path: str, content: bytes) -> Media:
    """Return a video file's medium, without reading the file.

    Args:
        path: of the file, for messages.
        content: its bytes.

    Raises:
        UsageError: it cannot be decoded, or has no frame.
    """
    try:
        index = read_index(content)
    except AV_ERRORS as error:
        raise UsageError(f"{path}: not a video that can be decoded ({error})") from error
    if index is None or not index.frames:
        raise UsageError(f"{path}: a video without a frame; name another")
    return Media(
        kind="video", refs=(MediaRef(uri=path),), width=index.width, height=index.height,
        frames=index.frames, fps=index.fps, duration_s=index.duration_s,
        second_starts=index.second_starts, bytes_on_disk=len(content),
    )  # fmt: skip


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name an image or video file") from error


def _stream(
    opened: Opened,
    vocabulary: tokenizer.Vocabulary,
    ids: NDArray[np.int64],
    tiles: PromptTiles,
    max_new_tokens: int,
    temperature: float,
) -> Iterator[str]:
    """Generate in a thread, and yield the text that transformers' streamer decodes."""
    # The streamer only calls `decode`, which is all that the decoder has.
    streamer = TextIteratorStreamer(_Decoder(vocabulary), skip_prompt=True)  # type: ignore[arg-type]
    failed: list[BaseException] = []

    def work() -> None:
        try:
            generate(
                opened.model, [ids], [tiles],
                max_new_tokens=max_new_tokens, temperature=temperature, streamer=streamer,
            )  # fmt: skip
        except BaseException as error:
            failed.append(error)
            streamer.end()  # type: ignore[no-untyped-call]  # untyped in transformers

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    started = False
    for piece in streamer:
        text = piece if started else piece.lstrip()
        started = started or bool(text)
        if text:
            yield text
    thread.join()
    if failed:
        raise failed[0]


class _Decoder:
    """The one method of a tokenizer that transformers' streamer calls."""

    def __init__(self, vocabulary: tokenizer.Vocabulary):
        self._vocabulary = vocabulary

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return self._vocabulary.decode([int(i) for i in ids], skip_special=True)
