"""A checkpoint that answers interleaved words, pictures and videos, as harnesses give them.

Inputs are prepared by smolmix's own code, not by `AutoProcessor`: so a nano checkpoint, which
transformers has no processor for, answers too, and tiles and ids are those of `smolmix evaluate`.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from smolmix.model.eval.ask import Attachment, prepare, video_file
from smolmix.model.eval.generate import Batching, generate
from smolmix.model.eval.load import open_checkpoint
from smolmix.sample import Media
from smolmix.tokenize.chat import tokenizer
from smolmix.tokenize.tiles.image import decode
from smolmix.workspace import Workspace

_ORIENTATION = 0x0112  # of EXIF
Piece = str | Image.Image | Path  # words, a picture, or a video file


class Answerer:
    """An opened checkpoint that answers questions of several pieces."""

    def __init__(
        self,
        checkpoint: str,
        *,
        workspace: str = "workspace",
        preset: str | None = None,
        batching: Batching | None = None,
    ):
        """Open a run of the workspace, a folder in transformers' format, or a hub id.

        Args:
            checkpoint: its name.
            workspace: holds the runs.
            preset: pixel preset of a checkpoint that smolmix did not write.
            batching: how much goes through the model at once.

        Raises:
            UsageError: there is no such checkpoint, or its profile is not known.
        """
        self._opened = open_checkpoint(checkpoint, Workspace(workspace), preset)
        self._profile = self._opened.profile
        self._vocabulary = tokenizer.load(self._profile.chat.tokenizer)
        self._batching = batching or Batching()

    def answers(
        self, questions: Sequence[Sequence[Piece]], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[str]:
        """Return the answer to each question.

        Args:
            questions: pieces of each question, in reading order.
            max_new_tokens: longest answer.
            temperature: 0 takes the likeliest token each time.

        Raises:
            UsageError: a video cannot be read or decoded.
        """
        exif = self._profile.pixel.exif
        ready = [
            prepare([_attached(p, exif) for p in pieces], self._profile, self._vocabulary)
            for pieces in questions
        ]
        tokens = [len(ids) for ids, _ in ready]
        tiles = [len(shown.tiles) for _, shown in ready]
        order = sorted(range(len(ready)), key=lambda at: tokens[at])
        texts = [""] * len(ready)
        for batch in self._batching.batches(order, tokens, tiles, self._profile.pixel):
            out = generate(
                self._opened.model,
                [ready[at][0] for at in batch],
                [ready[at][1] for at in batch],
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
            for at, ids in zip(batch, out, strict=True):
                texts[at] = self._vocabulary.decode(ids, skip_special=True).strip()
        return texts


def _attached(piece: Piece, exif: str) -> str | Attachment:
    if isinstance(piece, str):
        return piece
    return video_file(str(piece)) if isinstance(piece, Path) else picture_file(piece, exif)


def picture_file(picture: Image.Image, exif: str) -> Attachment:
    """Return a picture as a PNG file, so that it is decoded like any other."""
    out = io.BytesIO()
    plain = picture if picture.mode in ("RGB", "RGBA", "L", "LA", "P") else picture.convert("RGB")
    tags = Image.Exif()  # the profile says whether a camera's orientation is applied
    tags[_ORIENTATION] = picture.getexif().get(_ORIENTATION, 1)
    plain.save(out, "PNG", exif=tags)
    content = out.getvalue()
    width, height = decode(content, exif=exif).size
    return Attachment(
        media=Media(kind="image", refs=(), width=width, height=height), content=content
    )
