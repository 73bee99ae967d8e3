"""The record: one Arrow schema that every stage shares, and its typed Python face.

A conversation's text and media are kept apart (a part is either text or an index into
`media`), so text that happens to read `<image>` is never taken for an image.
Media bytes are not in the record: `MediaRef` says where they lie under `raw/`.

Records are msgspec structs: what a frozen, slotted dataclass is, made in a tenth of the time, and
`gc=False` keeps them out of the garbage collector's rounds (they are trees: no cycle can form).
Change one with `msgspec.structs.replace`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

import pyarrow as pa
import xxhash
from msgspec import Struct
from msgspec.structs import asdict

from smolmix.arrow_columns import array, columns_of, lists, struct
from smolmix.errors import DataError

SCHEMA_VERSION = 3  # raised when the columns or the digest change: corpora are measured again

Modality = Literal["text", "image", "multi-image", "video"]
Cot = Literal["none", "declared", "detected"]
Role = Literal["system", "user", "assistant"]
MediaKind = Literal["image", "video", "frames"]
Split = Literal["train", "heldout"]

FIND = "find:"  # a reference that is still a name, or several, one a line, best first

MODALITIES: tuple[str, ...] = get_args(Modality)
ROLES: tuple[str, ...] = get_args(Role)


class MediaRef(Struct, frozen=True, kw_only=True, gc=False):
    """Where the bytes of one medium lie.

    Exactly one form applies: a plain file (`uri` alone); a cell of a parquet file (`row`,
    `column`, and `index` where the cell is a list); a member of an archive (`member`, with
    `offset` and `bytes` where it is stored uncompressed and can be read by range).
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
    bytes_on_disk: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names that its row knows it by, where it is not fetched; none where it is here."""
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
    faults: tuple[str, ...] = ()  # what measuring found wrong: "image-truncated: ...", ...

    @property
    def duration_s(self) -> float:
        """Seconds of video in the sample."""
        return sum(m.duration_s for m in self.media)

    def digest(self) -> str:
        """Identity of what a model would see: roles, text, media order and media bytes."""
        state = xxhash.xxh3_128()
        for turn in self.turns:
            state.update(b"\x01" + turn.role.encode())
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
    """A row or sample that left, and why. Nothing leaves without one."""

    id: str  # the sample's id, or "<source_file>#<row>" where no sample came to be
    stage: str  # adapt | measure | filter | dedup | decontaminate | tokenize | ...
    reason: str  # a short fixed word: "image-truncated", "answer-empty", "plan-mismatch"
    detail: str = ""
    source_file: str = ""
    source_row: int = -1
    kept_id: str = ""  # for duplicates: the copy that stays
    rows: int = 0  # 1 when the whole source row was dropped before becoming samples


_REF = pa.struct(
    [
        ("uri", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("index", pa.int32()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
_MEDIA = pa.struct(
    [
        ("kind", pa.string()),
        ("refs", pa.list_(_REF)),
        ("digest", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int8()),
        ("frames", pa.int32()),
        ("fps", pa.float64()),
        ("duration_s", pa.float64()),
        ("bytes_on_disk", pa.int64()),
    ]
)
_PART = pa.struct([("text", pa.string()), ("media", pa.int32())])
_TURN = pa.struct([("role", pa.string()), ("parts", pa.list_(_PART))])
_METADATA = {b"smolmix.schema_version": str(SCHEMA_VERSION).encode()}

SAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.string()),
        ("subset", pa.string()),
        ("split", pa.string()),
        ("modality", pa.string()),
        ("category", pa.string()),
        ("cot", pa.string()),
        ("cot_evidence", pa.string()),
        ("turns", pa.list_(_TURN)),
        ("media", pa.list_(_MEDIA)),
        ("licence", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("tags", pa.map_(pa.string(), pa.string())),
        ("text_chars", pa.int64()),
        ("text_tokens", pa.int64()),
        ("answer_chars", pa.int64()),
        ("language", pa.string()),
        ("text_hash", pa.string()),
        ("faults", pa.list_(pa.string())),
        # Derived on writing, so that tables can be scanned without opening `turns` and `media`.
        ("n_turns", pa.int32()),
        ("n_media", pa.int32()),
        ("duration_s", pa.float64()),
        ("digest", pa.string()),
    ],
    metadata=_METADATA,
)

DROPPED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("kept_id", pa.string()),
        ("rows", pa.int32()),
    ],
    metadata=_METADATA,
)

_DERIVED = ("n_turns", "n_media", "duration_s", "digest")


_REF_FIELDS = MediaRef.__struct_fields__
_MEDIA_FIELDS = tuple(f for f in Media.__struct_fields__ if f != "refs")
_PLAIN_FIELDS = tuple(f for f in Sample.__struct_fields__ if f not in ("turns", "media"))


def _turns_column(samples: Sequence[Sample]) -> pa.ListArray:
    turns = [t for s in samples for t in s.turns]
    parts = [p for t in turns for p in t.parts]
    shown = struct(_PART, {"text": [p.text for p in parts], "media": [p.media for p in parts]})
    said = lists([len(t.parts) for t in turns], shown)
    turn = struct(_TURN, {"role": [t.role for t in turns], "parts": said})
    return lists([len(s.turns) for s in samples], turn)


def _media_column(samples: Sequence[Sample]) -> pa.ListArray:
    media = [m for s in samples for m in s.media]
    refs = struct(_REF, columns_of(_REF_FIELDS, [r for m in media for r in m.refs]))
    columns: dict[str, Any] = {**columns_of(_MEDIA_FIELDS, media)}
    columns["refs"] = lists([len(m.refs) for m in media], refs)
    return lists([len(s.media) for s in samples], struct(_MEDIA, columns))


def to_table(samples: Iterable[Sample]) -> pa.Table:
    """Return the samples as an Arrow table in `SAMPLE_SCHEMA`.

    Built column by column: rows of dicts took twice as long.
    """
    rows = list(samples)
    columns: dict[str, Any] = {**columns_of(_PLAIN_FIELDS, rows)}
    columns["turns"], columns["media"] = _turns_column(rows), _media_column(rows)
    columns["n_turns"] = [len(s.turns) for s in rows]
    columns["n_media"] = [len(s.media) for s in rows]
    columns["duration_s"] = [s.duration_s for s in rows]
    columns["digest"] = [s.digest() for s in rows]
    arrays = [
        c if isinstance(c := columns[f.name], pa.Array) else array(c, f.type) for f in SAMPLE_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SAMPLE_SCHEMA)


def dropped_table(dropped: Iterable[Dropped]) -> pa.Table:
    """Return the dropped rows as an Arrow table in `DROPPED_SCHEMA`."""
    return pa.Table.from_pylist([asdict(d) for d in dropped], schema=DROPPED_SCHEMA)


def _media(row: Mapping[str, Any]) -> Media:
    fields = dict(row)
    fields["refs"] = tuple(MediaRef(**r) for r in fields["refs"])
    return Media(**fields)


def _sample(row: dict[str, Any]) -> Sample:
    for name in _DERIVED:
        row.pop(name, None)
    row["turns"] = tuple(
        Turn(role=t["role"], parts=tuple(Part(**p) for p in t["parts"])) for t in row["turns"]
    )
    row["media"] = tuple(_media(m) for m in row["media"])
    row["tags"] = tuple(row["tags"])
    row["faults"] = tuple(row["faults"])
    return Sample(**row)


def check_schema_version(schema: pa.Schema, where: str) -> None:
    """Refuse a file written under another version of the record.

    Raises:
        DataError: the version in the file's metadata is missing or is not `SCHEMA_VERSION`.
    """
    found = (schema.metadata or {}).get(b"smolmix.schema_version", b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise DataError(
            f"{where}: record schema version {found}; this smolmix reads {SCHEMA_VERSION}; "
            "run the stage that wrote it again"
        )


def from_table(table: pa.Table, *, where: str = "table") -> Iterator[Sample]:
    """Yield the samples of a table written by `to_table`.

    Raises:
        DataError: the table carries another schema version.
    """
    check_schema_version(table.schema, where)
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            yield _sample(row)


def dropped_from_table(table: pa.Table, *, where: str = "table") -> Iterator[Dropped]:
    """Yield the dropped rows of a table written by `dropped_table`."""
    check_schema_version(table.schema, where)
    for row in table.to_pylist():
        yield Dropped(**row)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a stage did to its rows, and the proof that none was lost.

    rows = rows_adapted + dropped rows (one row may become several samples);
    samples = kept + dropped + duplicates + merged.
    """

    rows: int = 0
    rows_adapted: int = 0
    rows_dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows
    samples: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> samples
    duplicates: int = 0
    merged: int = 0  # samples whose turns live on in another one
    turns_dropped: dict[str, int] = field(default_factory=dict)  # reason -> turns

    def __add__(self, other: Self) -> "Tally":
        total = Tally()
        for one in (self, other):
            for name in ("rows", "rows_adapted", "samples", "kept", "duplicates", "merged"):
                setattr(total, name, getattr(total, name) + getattr(one, name))
            for name in ("rows_dropped", "dropped", "turns_dropped"):
                into: dict[str, int] = getattr(total, name)
                for reason, count in getattr(one, name).items():
                    into[reason] = into.get(reason, 0) + count
        for name in ("rows_dropped", "dropped", "turns_dropped"):
            setattr(total, name, dict(sorted(getattr(total, name).items())))
        return total

    def drop(self, dropped: Dropped) -> None:
        """Count one dropped row or sample."""
        into = self.rows_dropped if dropped.rows else self.dropped
        into[dropped.reason] = into.get(dropped.reason, 0) + 1

    def imbalance(self) -> str:
        """Return what does not add up, or an empty string."""
        rows_out = self.rows_adapted + sum(self.rows_dropped.values())
        if self.rows != rows_out:
            return (
                f"{self.rows} rows came in, {self.rows_adapted} were adapted and "
                f"{sum(self.rows_dropped.values())} dropped: {self.rows - rows_out} unaccounted for"
            )
        out = self.kept + sum(self.dropped.values()) + self.duplicates + self.merged
        if self.samples != out:
            return (
                f"{self.samples} samples came in, {self.kept} were kept, "
                f"{sum(self.dropped.values())} dropped, {self.duplicates} were duplicates and "
                f"{self.merged} merged: {self.samples - out} unaccounted for"
            )
        return ""


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
