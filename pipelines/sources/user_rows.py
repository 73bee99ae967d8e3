"""Samples from rows of a user's own data: chats, pairs of question and answer, captioned media.

Each form has a closed list of keys (`user_keys`). A key with text or media of the sample that is
not read drops the row; any other key that is not read is counted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec.structs import replace

from smolmix.pipelines.formats.parquet import UNREAD
from smolmix.pipelines.sources import user_keys as keys
from smolmix.pipelines.sources.chat import (
    Shown,
    Spoken,
    in_order,
    pairs_of,
    role_of,
    turns_by_kind,
    turns_with_media,
)
from smolmix.pipelines.sources.prompts import DESCRIBE_IMAGE, DESCRIBE_VIDEO, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.shapes import with_lists
from smolmix.sample import FIND, Cot, Media, MediaKind, MediaRef, Part, Sample, Turn, turns_of

VIDEOS = keys.VIDEO_ENDINGS
WRONG = "_wrong"  # in a row that fetch wrote: what is wrong with the user's line
_MESSAGE = ("role", "from", *keys.LOSS)
_PART_MEDIA: dict[str, Literal["image", "video"]] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
}
_PART_NAMES = ("url", "path", "file")
# The beginnings of JPEG, PNG, GIF and WebP files in base64.
_BASE64 = re.compile(r"data:|(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR)[A-Za-z0-9+/\s]{20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """The adapter of all formats that a catalogue knows; it goes by the fields that a row has."""

    category: str
    cot: Cot = "none"
    root: str = ""  # the folder of the media; rows may name them by their full path
    heldout: str = ""  # regex over the paths of media: rows that are for evaluation only
    ignore: tuple[str, ...] = ()  # keys that no sample needs

    def __call__(self, row: Row) -> Iterator[Sample]:
        """Yield the row's samples: one, or one for each of several captions."""
        if wrong := row.values.get(WRONG):
            raise RowError("metadata-broken", str(wrong))
        row.values = with_lists(row.values)
        values = {
            key: value
            for key, value in row.values.items()
            if key not in self.ignore and not keys.is_empty(value)
        }
        row.unread.update(c for c in values.pop(UNREAD, ()) if c not in self.ignore)
        if not keys.supervised(values):
            raise RowError("loss-off", "the row is marked as one that does not count in the loss")
        name = next((v for n in keys.IDS if (v := values.get(n)) is not None), None)
        read = {*keys.IDS, *keys.LOSS, *keys.RATES, "_media"}
        media = self._media(row, values, read)
        for turns in self._told(row, values, media, read, str(name)):
            if not any(t.supervised for t in turns if t.role == "assistant"):
                raise RowError("loss-off", "no answer counts in the loss")
            turns, shown = _in_order_shown(turns, media)
            row.unread |= keys.check_unread(
                values,
                read,
                text="\n".join(t.text for t in turns),
                media={keys.stem(_name(ref)) for m in shown for ref in m.refs},
            )
            held = self.heldout and any(
                re.search(self.heldout, _name(ref)) for m in shown for ref in m.refs
            )
            yield row.sample(
                key=name,
                turns=turns,
                media=shown,
                category=self.category,
                cot=self.cot,
                cot_evidence="declared in the catalogue" if self.cot == "declared" else "",
                split="heldout" if held else None,
            )

    def _media(self, row: Row, values: Mapping[str, Any], read: set[str]) -> list[Media]:
        """Return the media of the row itself, images first; the keys used are added to `read`."""
        if isinstance(members := values.get("_media"), tuple):  # of the row's own tar
            return [Media(kind=_kind({"path": r.member}, None), refs=(r,)) for r in members]
        found: list[Media] = []
        kinds: tuple[tuple[re.Pattern[str], MediaKind | None], ...] = (
            (keys.IMAGE_KEY, None),
            (keys.VIDEO_KEY, "video"),
        )
        for pattern, kind in kinds:
            named = [key for key in values if pattern.fullmatch(key)]
            if not named:
                continue
            key = _one_of(named, values)
            read.add(key)
            value = values[key]
            if kind and isinstance(value, list) and _are_frames(value):
                value = [value]  # one clip, given as its frames
            many = isinstance(value, list)
            for at, one in enumerate(value if many else [value]):
                if isinstance(one, bytes) or (isinstance(one, dict) and _bytes(one)):
                    found.append(row.cell(key, at if many else None, kind=_kind(one, kind)))
                else:
                    found.append(self._named(row, key, one, kind, keys.frame_rate(values)))
        return found

    def _named(
        self, row: Row, key: str, value: Any, kind: MediaKind | None, fps: float = 0.0
    ) -> Media:
        """Return a medium that a value names: a path, `{path: …}`, or a list of frames."""
        if isinstance(value, list) and kind == "video" and _are_frames(value):
            names = [self._place(key, frame) for frame in value]
            if not fps:
                raise RowError(
                    "frames-without-rate",
                    f"{key}: {len(value)} frames, such as {value[0]}; `fps` says how many a second",
                )
            refs = tuple(MediaRef(uri=FIND + name) for name in names)
            return Media(kind="frames", refs=refs, frames=len(refs), fps=fps)
        if isinstance(value, dict):
            value = next((v for n in (*_PART_NAMES, "bytes") if (v := value.get(n))), None)
        if not isinstance(value, str):
            reason = "media-inline" if isinstance(value, bytes) else "field-type"
            raise RowError(reason, f"{key}: a {type(value).__name__}; a path is needed")
        return self._find(row, self._place(key, value), kind)

    def _place(self, key: str, name: str) -> str:
        """Return the path below the folder of media that a row names."""
        if _BASE64.match(name):
            raise RowError(
                "media-inline",
                f"{key}: a medium in base64 ({len(name):,} characters) is not read; write it to a "
                "file and name the file",
            )
        if keys.is_address(name):
            raise RowError("media-missing", f"{key}: {name}: on the web; download it first")
        place = name.removeprefix("file://").replace("\\", "/").removeprefix("./")
        if self.root and place.startswith(f"{self.root}/"):
            place = place[len(self.root) + 1 :]
        return place

    def _find(self, row: Row, place: str, kind: MediaKind | None = None) -> Media:
        return row.find(place, kind=kind or ("video" if _is_video(place) else "image"))

    def _told(
        self, row: Row, values: Mapping[str, Any], media: list[Media], read: set[str], name: str
    ) -> Iterator[tuple[Turn, ...]]:
        """Yield the turns of each sample; media that parts name are added to `media`."""
        for field in keys.CHATS:
            if isinstance(values.get(field), list):
                read |= {field, "history", *keys.SYSTEMS}
                entries = [_spoken(row, entry, field) for entry in values[field]]
                yield self._chat(row, [*_before(row, values), *entries], media)
                return
        if isinstance(values.get(keys.PAIRS), list):
            read.add(keys.PAIRS)
            pairs = pairs_of(row, values[keys.PAIRS])
            yield turns_with_media(pairs, len(media), placeholders=())
            return
        question = next((k for k in keys.QUESTIONS if k in values), "")
        answer = next((k for k in keys.ANSWERS if k in values), "")
        if question and answer:
            read |= {question, answer, "input", "history", *keys.SYSTEMS}
            entries = [*_entries(row, values, question, "user")]
            if isinstance(more := values.get("input"), str):
                entries.append(Spoken("user", (_trimmed(more),)))
            entries += _entries(row, values, answer, "assistant")
            yield self._chat(row, [*_before(row, values), *entries], media)
            return
        yield from _captioned(row, values, media, read, name)

    def _chat(self, row: Row, messages: Iterable[Spoken], media: list[Media]) -> tuple[Turn, ...]:
        spoken = in_order(row, messages)
        pieces = [p for one in spoken for p in one.content if isinstance(p, Shown)]
        if not pieces:
            return turns_by_kind(spoken, [m.kind for m in media])
        if all(piece.named is not None for piece in pieces):
            names = {keys.stem(_name(ref)) for m in media for ref in m.refs}
            own = {keys.stem(n) for p in pieces for n in keys.strings(p.named)}
            if names <= own:
                media.clear()  # the parts name the row's media again
        turns, waiting = [], list(range(len(media)))
        for one in spoken:
            parts = []
            for piece in one.content:
                if isinstance(piece, str):
                    parts.append(Part(text=piece))
                    continue
                if one.role != "user":
                    raise RowError("media-in-answer", f"a part of type {piece.kind!r}")
                if piece.named is not None:
                    medium = self._named(row, "content", piece.named, _clip(piece), piece.fps)
                    media.append(medium)
                    parts.append(Part(media=len(media) - 1))
                    continue
                fits = [n for n in waiting if (media[n].kind == "image") == (piece.kind == "image")]
                if not fits:
                    raise RowError(
                        "placeholder-mismatch",
                        f"{len(pieces)} parts show media, {len(media)} media; the {piece.kind} of "
                        "one is missing",
                    )
                waiting.remove(fits[0])
                parts.append(Part(media=fits[0]))
            turns.append(Turn(role=one.role, parts=tuple(parts), supervised=one.supervised))
        if waiting:
            raise RowError(
                "placeholder-mismatch", f"{len(pieces)} parts show media, {len(media)} media"
            )
        return tuple(turns)


def _captioned(
    row: Row, values: Mapping[str, Any], media: Sequence[Media], read: set[str], name: str
) -> Iterator[tuple[Turn, ...]]:
    field = next((k for k in keys.CAPTIONS if k in values), "")
    value = values.get(field)
    captions = value if isinstance(value, list) else [value]
    if not field:
        image = values.get("image")
        named = f"{image}: " if isinstance(image, str) else ""
        forms = (*keys.CHATS[:2], keys.PAIRS, "question and answer", "caption", "text")
        raise RowError("field-missing", f"{named}one of {', '.join(forms)} is needed")
    read.add(field)
    for caption in captions:
        if not isinstance(caption, str):
            raise RowError("field-type", f"{field}: {caption!r}"[:200])
        if not (text := caption.strip()):
            raise RowError("text-empty", field)
        if not media:
            yield turns_of(("assistant", text))
            continue
        prompts = DESCRIBE_IMAGE if media[0].kind == "image" else DESCRIBE_VIDEO
        question = pick(prompts, name if name != "None" else text)
        yield turns_of(("user", [*range(len(media)), question]), ("assistant", text))
        if len(captions) > 1:
            read.add(field)


def _before(row: Row, values: Mapping[str, Any]) -> Iterator[Spoken]:
    """Yield what precedes a row's chat: `system`, and the earlier turns in `history`."""
    for key in keys.SYSTEMS:
        if key in values:
            yield Spoken("system", (row.text(key),))
    for pair in row.list("history") if "history" in values else ():
        if isinstance(pair, dict):
            yield _spoken(row, pair, "history")
            continue
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(text, str) for text in pair)
        ):
            raise RowError("field-type", f"history: {pair!r}; pairs of two texts are read"[:200])
        yield Spoken("user", (_trimmed(pair[0]),))
        yield Spoken("assistant", (_trimmed(pair[1]),))


def _entries(
    row: Row, values: Mapping[str, Any], key: str, role: Literal["user", "assistant"]
) -> Iterator[Spoken]:
    """Yield a question or an answer, which is a text or a list of messages."""
    value = values[key]
    if isinstance(value, list):
        yield from (_spoken(row, entry, key) for entry in value)
    elif isinstance(value, str):
        yield Spoken(role, (_trimmed(value),))
    else:
        raise RowError("field-type", f"{key}: a {type(value).__name__}; a text is needed")


def _spoken(row: Row, entry: Any, field: str) -> Spoken:
    """Return a message of a chat; its content may be a list of parts (OpenAI, TRL, Qwen-VL)."""
    if not isinstance(entry, dict):
        raise RowError("field-type", f"{field}: a turn that is a {type(entry).__name__}")
    filled = {key: value for key, value in entry.items() if not keys.is_empty(value)}
    said = "value" if "value" in filled else "content"
    content = filled.get(said, "")
    if isinstance(content, list):
        pieces = _joined(_piece(row, part, field) for part in content)
    elif isinstance(content, str):
        pieces = (_trimmed(content),)
    else:
        raise RowError("field-type", f"{field}: a text that is a {type(content).__name__}")
    read = {*_MESSAGE, said}
    if not filled.keys() <= read:
        text = "\n".join(keys.strings(content))
        row.unread |= keys.check_unread(filled, read, text=text, media=set(), where=f"{field}[].")
    return Spoken(role_of(filled), pieces, keys.supervised(filled))


def _piece(row: Row, part: Any, field: str) -> str | Shown:
    """Return what one part of a message shows."""
    if isinstance(part, str):
        return part
    filled = (
        {key: value for key, value in part.items() if value is not None}
        if isinstance(part, dict)
        else {}
    )
    kind = filled.get("type") or next((k for k in ("text", *_PART_MEDIA) if k in filled), None)
    where = f"{field}[].content[]."
    if kind in ("text", "input_text", "output_text") and isinstance(filled.get("text"), str):
        others = {k: v for k, v in filled.items() if k not in ("type", "text")}
        row.unread |= keys.check_unread(
            others, set(), text=filled["text"], media=set(), where=where
        )
        return str(filled["text"])
    if kind not in _PART_MEDIA:
        raise RowError("field-type", f"{field}: a part of a message's content of type {kind!r}")
    names = [k for k in (*_PART_MEDIA, *_PART_NAMES) if not keys.is_empty(filled.get(k))]
    if len(names) > 1:
        raise RowError("key-conflict", f"{field}: a part names its medium in {' and '.join(names)}")
    others = {k: v for k, v in filled.items() if k not in ("type", *names, *keys.RATES)}
    if not names and any(k in others for k in ("source", "data", "base64", "file_id")):
        raise RowError("media-inline", f"{field}: the medium in a part's data is not read; name it")
    row.unread |= keys.check_unread(
        {k: v for k, v in others.items() if not keys.is_empty(v)},
        set(),
        text="",
        media=set(),
        where=where,
    )
    named = filled[names[0]] if names else None
    return Shown(_PART_MEDIA[kind], named, keys.frame_rate(filled))


def _joined(pieces: Iterable[str | Shown]) -> tuple[str | Shown, ...]:
    """Return the pieces, texts next to each other as one, exactly as they are written."""
    found: list[str | Shown] = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(last := found[-1], str):
            found[-1] = last + piece
        elif piece != "" or not found:
            found.append(piece)
    if len(found) > 1 and found[0] == "":
        del found[0]
    return tuple(found) or ("",)


def _trimmed(text: str) -> str:
    """Return a text without white space around it, but with the indentation of its first line."""
    short = text.strip()
    if "\n" not in short:
        return short
    indent = text[: text.index(short[0])].rpartition("\n")[2]
    return indent + short if len(indent) > 1 or indent == "\t" else short


def _in_order_shown(
    turns: tuple[Turn, ...], media: Sequence[Media]
) -> tuple[tuple[Turn, ...], list[Media]]:
    """Return turns and media, the media in the order in which the turns show them."""
    order = [p.media for t in turns for p in t.parts if p.media is not None]
    if order == list(range(len(order))):
        return turns, list(media)
    place = {old: new for new, old in enumerate(order)}
    moved = [
        replace(
            turn,
            parts=tuple(p if p.media is None else Part(media=place[p.media]) for p in turn.parts),
        )
        for turn in turns
    ]
    return tuple(moved), [media[old] for old in order]


def _one_of(named: Sequence[str], values: Mapping[str, Any]) -> str:
    """Return which of several keys for media of one kind to read.

    Raises:
        RowError: they name different media.
    """
    if len(named) == 1:
        return named[0]
    stored = [key for key in named if keys.holds_bytes(values[key])]
    if len(stored) == 1 and all(_is_place(key) for key in named if key not in stored):
        return stored[0]  # the other keys say where the bytes were
    local = [k for k in named if not all(map(keys.is_address, keys.strings(values[k])))] or named
    told = {tuple(sorted(map(keys.stem, keys.strings(values[key])))) for key in local}
    if stored or len(told) > 1:
        shown = ", ".join(f"{key}: {str(values[key])[:60]!r}" for key in named)
        raise RowError("key-conflict", f"several keys name media, and not the same: {shown}")
    return local[0]


def _is_place(key: str) -> bool:
    return re.search(r"path|file|name|ur[li]", key, re.IGNORECASE) is not None


def _are_frames(value: Sequence[Any]) -> bool:
    return bool(value) and all(
        isinstance(v, str) and v.lower().endswith(keys.IMAGE_ENDINGS) for v in value
    )


def _bytes(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("bytes"), bytes) and bool(value["bytes"])


def _kind(value: Any, kind: MediaKind | None) -> MediaKind:
    name = value.get("path") if isinstance(value, dict) else None
    return kind or ("video" if isinstance(name, str) and _is_video(name) else "image")


def _clip(piece: Shown) -> MediaKind | None:
    return "video" if piece.kind != "image" else None


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEOS)


def _name(ref: MediaRef) -> str:
    return ref.member or ref.uri.removeprefix(FIND).partition("\n")[0]
