"""One published row, with the methods that adapters read it and build samples with."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import xxhash
from msgspec import Struct, field

from smolmix.sample import FIND, Cot, Media, MediaKind, MediaRef, Modality, Sample, Split, Turn


class RowError(Exception):
    """Raised by an adapter: the row gives no sample."""

    def __init__(self, reason: str, detail: str = ""):
        """Give the reason, a short fixed word, and what was found; it becomes a `Dropped`."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Row(Struct, kw_only=True, gc=False):
    """A row's values and its origin; adapting it fills `turns_dropped`, `unread` and `blobs`."""

    values: Mapping[str, Any]
    corpus: str
    licence: str
    path: str
    file_row: int  # counted in the file
    subset: str = ""
    split: Split = "train"
    turns_dropped: dict[str, int] = field(default_factory=dict)  # reason -> turns
    unread: set[str] = field(default_factory=set)  # keys with a value that the sample lacks
    blobs: dict[MediaRef, bytes] = field(default_factory=dict)  # bytes of media in the row itself

    def text(self, name: str, *, required: bool = True) -> str:
        """Return a text value without surrounding white space.

        Raises:
            RowError: it is missing, empty or not text.
        """
        value = self.values.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str):
            raise RowError("field-missing" if value is None else "field-type", f"{name}: {value!r}")
        value = value.strip()
        if required and not value:
            raise RowError("text-empty", name)
        return value

    def list(self, name: str) -> list[Any]:
        """Return a list value; a missing one is empty.

        Raises:
            RowError: it is something else.
        """
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise RowError("field-type", f"{name}: a {type(value).__name__}, not a list")
        return value

    def drop_turn(self, reason: str) -> None:
        """Count a turn that is dropped from a row that is kept."""
        self.turns_dropped[reason] = self.turns_dropped.get(reason, 0) + 1

    def cell(self, column: str, index: int | None = None, *, kind: MediaKind = "image") -> Media:
        """Return the medium whose bytes are in a parquet cell of this row.

        Raises:
            RowError: the cell is empty.
        """
        value = self.values.get(column)
        if index is not None:
            value = value[index] if value is not None else None
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes) or not data:
            raise RowError("media-missing", f"{column}: no bytes")
        ref = MediaRef(uri=self.path, row=self.file_row, column=column, index=index)
        self.blobs[ref] = data
        return Media(kind=kind, refs=(ref,))

    def find(self, *names: str, kind: MediaKind = "image", fps: float = 0.0) -> Media:
        """Return a medium that the row only names; it is looked up later, first match first.

        Args:
            names: paths below the corpus's folder at which it may be stored, best first.
            kind: image or video; a video found as a folder of images becomes "frames".
            fps: of the frames, if the corpus states it.
        """
        return Media(kind=kind, refs=(MediaRef(uri=FIND + "\n".join(names)),), fps=fps)

    def sample(
        self,
        *,
        turns: Sequence[Turn],
        category: str,
        key: object = None,
        media: Iterable[Media] = (),
        modality: Modality | None = None,
        cot: Cot = "none",
        cot_evidence: str = "",
        licence: str = "",
        subset: str | None = None,
        split: Split | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Sample:
        """Return one sample of this row.

        Its id is the row's own key, if it has one, and a digest of the sample's text and media. So
        ids that repeat or are missing in a corpus never collide, and the order of rows does not
        matter.

        Raises:
            RowError: its text cannot be stored.
        """
        shown = tuple(media)
        state = xxhash.xxh3_128()
        for turn in turns:
            state.update(turn.role.encode())
            if not turn.supervised:
                state.update(b"\4")
            for part in turn.parts:
                if part.text is None:
                    state.update(b"\0%d" % (part.media or 0))
                    continue
                try:
                    state.update(part.text.encode())
                except UnicodeEncodeError as error:  # UTF-8, so Arrow, cannot hold it
                    raise RowError("text-undecodable", "a lone surrogate") from error
        for medium in shown:
            for ref in medium.refs:
                blob = self.blobs.get(ref)
                state.update(blob if blob is not None else f"{ref.uri}#{ref.member}".encode())
        digest = state.hexdigest()
        name = digest if key in (None, "") else f"{key}-{digest[:12]}"
        where = self.subset if subset is None else subset
        return Sample(
            id=f"{self.corpus}/{where}/{name}" if where else f"{self.corpus}/{name}",
            corpus=self.corpus,
            subset=where,
            split=split or self.split,
            modality=modality or _modality(shown),
            category=category,
            cot=cot,
            cot_evidence=cot_evidence,
            turns=tuple(turns),
            media=shown,
            licence=licence or self.licence,
            source_file=self.path,
            source_row=self.file_row,
            tags=tuple(sorted(tags.items())) if tags else (),
        )


def _modality(media: Sequence[Media]) -> Modality:
    if not media:
        return "text"
    if any(m.kind != "image" for m in media):
        return "video"
    return "image" if len(media) == 1 else "multi-image"
