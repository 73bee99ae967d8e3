"""Samples from rows of a user's own data: chats, Cauldron-style pairs, or captioned media."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smolmix.pipelines.sources.chat import ANY, messages_of, pairs_of, turns_with_media
from smolmix.pipelines.sources.prompts import DESCRIBE_IMAGE, DESCRIBE_VIDEO, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import Cot, Media, MediaKind, Sample, Turn, turns_of

VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
WRONG = "_wrong"  # in a row that fetch wrote: what is wrong with the user's line
_CAPTIONS = ("caption", "text", "txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """The adapter of all formats that a catalogue knows; it goes by the fields that a row has."""

    category: str
    cot: Cot = "none"
    root: str = ""  # the folder of the media; rows may name them by their full path

    def __call__(self, row: Row) -> Iterator[Sample]:
        """Yield the row's one sample."""
        if wrong := row.values.get(WRONG):
            raise RowError("metadata-broken", str(wrong))
        media = self._media(row)
        key = next((v for n in ("id", "_key") if (v := row.values.get(n)) is not None), None)
        yield row.sample(
            key=key,
            turns=_turns(row, media, str(key)),
            media=media,
            category=self.category,
            cot=self.cot,
            cot_evidence="declared in the catalogue" if self.cot == "declared" else "",
        )

    def _media(self, row: Row) -> list[Media]:
        members = row.values.get("_media")
        if isinstance(members, dict):
            # Members are indexed under the folder of their tar: raw/<corpus>/<revision>/<folder>/
            above = "/".join(row.path.split("/")[3:-1])
            names = [name for _, name in sorted(members.items())]
            return [self._named(row, f"{above}/{name}" if above else name) for name in names]
        if isinstance(images := row.values.get("images"), list):
            return [self._one(row, "images", image, at) for at, image in enumerate(images)]
        for field in ("image", "video"):
            value = row.values.get(field)
            if value:
                values = value if isinstance(value, list) else [value]
                kind: MediaKind | None = "video" if field == "video" else None
                return [self._one(row, field, one, None, kind) for one in values]
        return []

    def _one(
        self, row: Row, field: str, value: Any, at: int | None, kind: MediaKind | None = None
    ) -> Media:
        """Return a medium whose bytes are in a cell, or that a cell names."""
        if isinstance(value, dict) and not value.get("bytes") and value.get("path"):
            value = value["path"]
        if isinstance(value, str):
            return self._named(row, value, kind)
        return row.cell(field, at) if at is not None else row.cell(field)

    def _named(self, row: Row, path: str, kind: MediaKind | None = None) -> Media:
        place = path.replace("\\", "/").removeprefix("./")
        if self.root and place.startswith(f"{self.root}/"):
            place = place[len(self.root) + 1 :]
        shown: MediaKind = "video" if place.lower().endswith(VIDEOS) else "image"
        return row.find(place, kind=kind or shown)


def _turns(row: Row, media: list[Media], key: str) -> tuple[Turn, ...]:
    for field in ("conversations", "messages"):
        if row.values.get(field) is not None:
            messages = messages_of(row, [_plain(entry) for entry in row.list(field)])
            return turns_with_media(messages, len(media), placeholders=ANY, otherwise="refuse")
    if row.values.get("texts") is not None:
        return turns_with_media(pairs_of(row, row.list("texts")), len(media), placeholders=ANY)
    caption = next((row.text(n) for n in _CAPTIONS if row.values.get(n) is not None), "")
    if not caption:
        named = f"{row.values['image']}: " if isinstance(row.values.get("image"), str) else ""
        raise RowError(
            "field-missing",
            f"{named}one of conversations, messages, texts, caption, text is needed",
        )
    if not media:
        return turns_of(("assistant", caption))
    prompts = DESCRIBE_VIDEO if media[0].kind == "video" else DESCRIBE_IMAGE
    question = pick(prompts, key if key != "None" else caption)
    return turns_of(("user", [*range(len(media)), question]), ("assistant", caption))


def _plain(entry: Any) -> Any:
    """Return a message with one text, also if its content is a list of parts (OpenAI, TRL)."""
    if not isinstance(entry, dict) or not isinstance(parts := entry.get("content"), list):
        return entry
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind in ("image", "image_url", "video"):
            texts.append("<video>" if kind == "video" else "<image>")
        else:
            raise RowError("field-type", f"a part of a message's content of type {kind!r}")
    return {**entry, "content": "\n".join(texts)}
