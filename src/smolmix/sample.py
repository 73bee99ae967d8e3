"""The record: one Arrow schema that every stage shares, and its typed Python face.

A conversation's text and media are kept apart (a part is either text or an index into
`media`), so text that happens to read `<image>` is never taken for an image.
The record has no media bytes: a `MediaRef` names the file under `raw/` that holds them.

Records are msgspec structs: like frozen, slotted dataclasses, but created in a tenth of the time.
`gc=False` exempts them from garbage collection: they are trees and cannot form a cycle.
Change one with `msgspec.structs.replace`.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import xxhash
from msgspec import Struct

Modality = Literal["text", "image", "multi-image", "video"]


Cot = Literal["none", "declared", "detected"]


Role = Literal["system", "user", "assistant"]


MediaKind = Literal["image", "video", "frames"]


Split = Literal["train", "heldout"]


FIND = "find:"  # a reference that is still a name, or several, one a line, best first


MODALITIES: tuple[str, ...] = get_args(Modality)


ROLES: tuple[str, ...] = get_args(Role)


class MediaRef(Struct, frozen=True, kw_only=True, gc=False):
    """Where the bytes of one medium are stored.

    Exactly one form applies: a plain file (`uri` alone); a cell of a parquet file (`row`,
    `column`, and `index` where the cell is a list); a member of an archive (`member`, with
    `offset` and `bytes` where it is stored uncompressed and can be read by range; a packed member
    of a zip has the `offset` of its header and no `bytes`).
    """

    uri: str  # relative to the workspace: "raw/<corpus>/<revision>/..."; or an absolute URL
    row: int | None = None
    column: str | None = None
    index: int | None = None
    member: str | None = None
    offset: int | None = None
    bytes: int | None = None


class Media(Struct, frozen=True, kw_only=True, gc=False):
    """One image, one video, or one folder of numbered frames."""

    kind: MediaKind
    refs: tuple[MediaRef, ...]  # one; for "frames", one per frame in order
    digest: str = ""  # xxh3_128 hex of the bytes (of all frames in order for "frames")
    format: str = ""  # "jpeg", "png", "h264", ...
    width: int = 0  # pixels: of a video as displayed, of an image as stored
    height: int = 0
    orientation: int = 1  # EXIF, of an image: how to turn it, 1 to 8; `exif: apply` does
    frames: int = 1  # of a video: as its header or index says
    fps: float = 0.0  # 0 for an image
    duration_s: float = 0.0  # 0 for an image
    # Of a video whose frames are not evenly spaced: the first frame shown at or after second 1, 2,
    # and so on. Empty where frame i is shown at i / fps.
    second_starts: tuple[int, ...] = ()
    bytes_on_disk: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names its row gives it, if it is not fetched; empty if it is."""
        first = self.refs[0].uri if self.refs else ""
        return tuple(first.removeprefix(FIND).split("\n")) if first.startswith(FIND) else ()


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """A piece of a turn: either `text`, or `media`, an index into the sample's media."""

    text: str | None = None
    media: int | None = None


class Turn(Struct, frozen=True, kw_only=True, gc=False):
    """What one speaker says."""

    role: Role
    parts: tuple[Part, ...]
    supervised: bool = True  # False: an answer that does not count in the loss

    @property
    def text(self) -> str:
        """The turn's text parts, joined without a separator."""
        return "".join(p.text for p in self.parts if p.text is not None)


class Sample(Struct, frozen=True, kw_only=True, gc=False):
    """One training or evaluation sample.

    A text document for language modelling is one assistant turn and no user turn.
    """

    id: str  # stable: corpus/subset/key
    corpus: str
    subset: str = ""
    split: Split = "train"  # "heldout" is for evaluation only and is never mixed
    modality: Modality
    category: str  # document, chart, table, caption, vqa, reasoning, math, ocr, text, code, ...
    cot: Cot = "none"
    cot_evidence: str = ""
    turns: tuple[Turn, ...]
    media: tuple[Media, ...] = ()
    licence: str
    source_file: str  # relative to the workspace
    source_row: int
    tags: tuple[tuple[str, str], ...] = ()  # sorted (key, value) pairs, free for mixtures to use
    # Measures, filled by curate; 0 or "" until then.
    text_chars: int = 0
    text_tokens: int = 0  # of the turns' text alone, without template or media
    answer_chars: int = 0
    language: str = ""
    text_hash: str = ""  # of the normalised text and the roles
    errors: tuple[str, ...] = ()  # what measuring found wrong: "image-truncated: ...", ...

    @property
    def duration_s(self) -> float:
        """Seconds of video in the sample."""
        return sum(m.duration_s for m in self.media)

    def digest(self) -> str:
        """Identity of what a model would see: roles, text, media order and media bytes."""
        state = xxhash.xxh3_128()
        for turn in self.turns:
            state.update(b"\x01" + turn.role.encode())
            if not turn.supervised:
                state.update(b"\x04")
            for part in turn.parts:
                # A length before every text: no text can pass for the end of a part or turn.
                text = (part.text or "").encode("utf-8", "surrogatepass")
                place = -1 if part.media is None else part.media
                state.update(b"\x02%d %d " % (place, -1 if part.text is None else len(text)))
                state.update(text)
        for medium in self.media:
            state.update(f"\x03{medium.kind} {medium.digest}".encode())
        return state.hexdigest()


class Dropped(Struct, frozen=True, kw_only=True, gc=False):
    """A row or sample that was dropped, and why. Nothing is dropped without one."""

    id: str  # the sample's id, or "<source_file>#<row>" for a row that became no sample
    stage: str  # adapt | measure | filter | dedup | decontaminate | tokenize | ...
    reason: str  # a short fixed word: "image-truncated", "answer-empty", "plan-mismatch"
    detail: str = ""
    source_file: str = ""
    source_row: int = -1
    kept_id: str = ""  # for duplicates: the copy that is kept
    rows: int = 0  # 1 when the whole source row was dropped before becoming samples


def turns_of(*pairs: tuple[Role, str | Sequence[str | int]]) -> tuple[Turn, ...]:
    """Return turns from (role, content) pairs; content is text, or text and media indices mixed."""
    return tuple(
        Turn(
            role=role,
            parts=tuple(
                Part(media=c) if isinstance(c, int) else Part(text=c)
                for c in ([content] if isinstance(content, str) else content)
            ),
        )
        for role, content in pairs
    )
