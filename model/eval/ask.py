"""One question to a checkpoint, about files at hand; the answer comes piece by piece."""

import io
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from transformers import TextIteratorStreamer

from smolmix.errors import UsageError
from smolmix.model.eval.generate import generate
from smolmix.model.eval.load import Opened
from smolmix.model.eval.prompts import Shown, asking, media_tiles, shown_groups
from smolmix.sample import Media, MediaRef, Part, Sample, Turn
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.chat.encode import encode
from smolmix.tokenize.tiles import image as images_module
from smolmix.tokenize.tiles.clip_index import AV_ERRORS, read_index


def ask(
    opened: Opened,
    prompt: str,
    *,
    images: Sequence[str] = (),
    video: str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
) -> Iterator[str]:
    """Yield the answer's text as it is generated.

    Args:
        opened: the checkpoint.
        prompt: what to ask.
        images: files, shown before the prompt in this order.
        video: a file, shown before the prompt.
        max_new_tokens: longest answer.
        temperature: 0 takes the likeliest token each time.

    Raises:
        UsageError: a file is not there, or images and a video are given together.
        DataError: a file cannot be decoded.
    """
    if images and video:
        raise UsageError("generate: images and a video together; give --image or --video")
    paths = [*images, *([video] if video else [])]
    blobs = [_read(p) for p in paths]
    media = tuple(
        video_media(path, blob) if video else _image(path, blob, opened)
        for path, blob in zip(paths, blobs, strict=True)
    )
    parts = [Part(media=i) for i in range(len(media))] + [Part(text=prompt)]
    sample = Sample(
        id="ask", corpus="ask", modality="text", category="vqa", licence="", source_file="",
        source_row=0, media=media,
        turns=(Turn(role="user", parts=tuple(parts)),
               Turn(role="assistant", parts=(Part(text="?"),))),
    )  # fmt: skip
    vocabulary = tokenizer.load(opened.profile.chat.tokenizer)
    (encoded,) = encode([sample], asking(opened.profile), vocabulary)
    ids = encoded.input_ids[: encoded.spans[-1][0]].astype(np.int64)
    pixel = opened.profile.pixel
    tiles = [media_tiles(m, (b,), pixel) for m, b in zip(media, blobs, strict=True)]
    shown = Shown.of(tiles, shown_groups(media, encoded.tiles, opened.profile), pixel)
    yield from _stream(opened, vocabulary, ids, shown, max_new_tokens, temperature)


def _stream(
    opened: Opened,
    vocabulary: tokenizer.Vocabulary,
    ids: Any,
    shown: Shown,
    max_new_tokens: int,
    temperature: float,
) -> Iterator[str]:
    streamer = TextIteratorStreamer(_Decoder(vocabulary), skip_prompt=True)  # type: ignore[arg-type]
    failed: list[BaseException] = []

    def work() -> None:
        try:
            generate(
                opened.model, [ids], [shown],
                max_new_tokens=max_new_tokens, temperature=temperature, streamer=streamer,
            )  # fmt: skip
        except BaseException as error:
            failed.append(error)
            streamer.end()  # type: ignore[no-untyped-call]

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


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name an image or video file") from error


def _image(path: str, blob: bytes, opened: Opened) -> Media:
    try:
        decoded = images_module.decode(blob, exif=opened.profile.pixel.exif)
    except images_module.ImageError as error:
        raise UsageError(f"{path}: not an image that can be decoded ({error.reason})") from error
    return Media(
        kind="image", refs=(MediaRef(uri=path),), width=decoded.width, height=decoded.height
    )


def video_media(path: str, blob: bytes) -> Media:
    """Return a video file as a medium: its size, frames and length.

    Raises:
        UsageError: it cannot be decoded.
    """
    try:
        with av.open(io.BytesIO(blob), "r") as container:
            stream = container.streams.video[0]
            width, height = stream.width, stream.height
            index = read_index(container, stream)
    except AV_ERRORS as error:
        raise UsageError(f"{path}: not a video that can be decoded ({error})") from error
    if not index.frames:
        raise UsageError(f"{path}: a video without a frame; name another")
    return Media(
        kind="video", refs=(MediaRef(uri=path),), width=width, height=height, frames=index.frames,
        fps=index.fps, duration_s=index.duration_s, bytes_on_disk=len(blob),
    )  # fmt: skip
