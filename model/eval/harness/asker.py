"""A checkpoint that answers interleaved words, pictures and videos, as harnesses hand them over.

Inputs are prepared by smolmix's own code, not by `AutoProcessor`: so a nano checkpoint, which
transformers has no processor for, answers too, and tiles and ids are those of `smolmix evaluate`.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from smolmix.errors import UsageError
from smolmix.model.eval.ask import video_media
from smolmix.model.eval.generate import Batching, batches, generate
from smolmix.model.eval.load import open_checkpoint
from smolmix.model.eval.prompts import Shown, asking, media_tiles, shown_groups
from smolmix.sample import Media, Part, Sample, Turn
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.chat.encode import encode
from smolmix.tokenize.tiles.image import decode
from smolmix.workspace import Workspace

_ORIENTATION = 0x0112  # of EXIF
Piece = str | Image.Image | Path  # words, a picture, or a video file


class Asker:
    """An opened checkpoint and how questions reach it."""

    def __init__(
        self,
        checkpoint: str,
        *,
        workspace: str = "workspace",
        preset: str | None = None,
        batching: Batching | None = None,
    ):
        """Open a run of the workspace, a folder in transformers' layout, or a hub id.

        Args:
            checkpoint: its name.
            workspace: holds the runs.
            preset: pixel preset of a checkpoint that is not smolmix's.
            batching: how much goes through the model at once.

        Raises:
            UsageError: there is no such checkpoint, or its profile is not known.
        """
        self._opened = open_checkpoint(checkpoint, Workspace(workspace), preset)
        self._profile = self._opened.profile
        self._vocabulary = tokenizer.load(self._profile.chat.tokenizer)
        self._batching = batching or Batching()

    def answers(
        self, asked: Sequence[Sequence[Piece]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        """Return the answer to each question.

        Args:
            asked: pieces of each question, in the order in which they are read.
            max_new_tokens: longest answer.
            temperature: 0 takes the likeliest token each time.

        Raises:
            UsageError: a video is not there or cannot be decoded.
        """
        ready = [self._prepared(pieces) for pieces in asked]
        tokens = [len(ids) for ids, _ in ready]
        tiles = [len(shown.tiles) for _, shown in ready]
        order = sorted(range(len(ready)), key=lambda at: tokens[at])
        bound = self._batching.most_tiles(self._profile.pixel)
        said = [""] * len(ready)
        for batch in batches(order, tokens, tiles, self._batching, bound):
            out = generate(
                self._opened.model,
                [ready[at][0] for at in batch],
                [ready[at][1] for at in batch],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
            for at, ids in zip(batch, out, strict=True):
                said[at] = self._vocabulary.decode(ids, skip_special=True).strip()
        return said

    def _prepared(
        self, pieces: Sequence[Piece]
    ) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]]", Shown]:
        media: list[Media] = []
        blobs: list[bytes] = []
        parts: list[Part] = []
        for piece in pieces:
            if isinstance(piece, str):
                parts.append(Part(text=piece))
                continue
            medium, blob = (
                _image(piece, self._profile.pixel.exif)
                if isinstance(piece, Image.Image)
                else _video(piece)
            )
            parts.append(Part(media=len(media)))
            media.append(medium)
            blobs.append(blob)
        sample = Sample(
            id="ask", corpus="ask", modality="text", category="vqa", licence="", source_file="",
            source_row=0, media=tuple(media),
            turns=(Turn(role="user", parts=tuple(parts)),
                   Turn(role="assistant", parts=(Part(text="?"),))),
        )  # fmt: skip
        (encoded,) = encode([sample], asking(self._profile), self._vocabulary)
        ids = encoded.input_ids[: encoded.spans[-1][0]].astype(np.int64)
        pixel = self._profile.pixel
        shown = [media[i] for i in encoded.media]
        tiles = [media_tiles(media[i], (blobs[i],), pixel) for i in encoded.media]
        return ids, Shown.of(tiles, shown_groups(shown, encoded.tiles, self._profile), pixel)


def _image(picture: Image.Image, exif: str) -> tuple[Media, bytes]:
    out = io.BytesIO()
    plain = picture if picture.mode in ("RGB", "RGBA", "L", "LA", "P") else picture.convert("RGB")
    turned = Image.Exif()  # the profile says whether a camera's orientation is followed
    turned[_ORIENTATION] = picture.getexif().get(_ORIENTATION, 1)
    plain.save(out, "PNG", exif=turned)
    blob = out.getvalue()
    width, height = decode(blob, exif=exif).size
    return Media(kind="image", refs=(), width=width, height=height), blob


def _video(path: Path) -> tuple[Media, bytes]:
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a video file") from error
    return video_media(str(path), blob), blob
