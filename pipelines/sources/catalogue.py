"""A user's own corpora without code: a YAML file that names a path and a file format.

corpora:
  - id: my-charts
    path: /data/charts            # a folder, or any fsspec URL
    format: llava                 # llava | parquet | webdataset | folder
    licence: CC-BY-4.0
    category: chart
"""

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
from fsspec.registry import known_implementations

from smolmix.config import StrictModel, read_mapping, validated
from smolmix.errors import UsageError, nearest
from smolmix.pipelines.formats.format import FileFormat
from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.formats.webdataset import WebDataset
from smolmix.pipelines.sources.source import Local, Source
from smolmix.pipelines.sources.user_keys import (
    ANSWERS,
    CHATS,
    PAIRS,
    QUESTIONS,
    is_read,
)
from smolmix.pipelines.sources.user_keys import CAPTIONS as CAPTION_KEYS
from smolmix.pipelines.sources.user_rows import UserRow
from smolmix.sample import Cot

CAPTIONS = "captions.jsonl"  # written by fetch from the captions next to a folder's media
_ROW_KEYS = (
    *CHATS,
    PAIRS,
    *QUESTIONS,
    *ANSWERS,
    *CAPTION_KEYS,
    "images",
    "image",
    "videos",
    "video",
)
_FORMATS: dict[str, tuple[FileFormat, tuple[str, ...]]] = {
    "llava": (JsonArray(row_keys=_ROW_KEYS), ("*.json", "*.jsonl")),
    "parquet": (Parquet(columns=(), others=is_read), ("*.parquet",)),
    "webdataset": (WebDataset(), ("*.tar",)),
    "folder": (JsonLines(), (CAPTIONS,)),
}


class Corpus(StrictModel):
    """One corpus of a user's catalogue."""

    id: str = pydantic.Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    path: str
    format: Literal["llava", "parquet", "webdataset", "folder"]  # also read as `layout:`
    licence: str = pydantic.Field(min_length=1)
    # The folders that paths in rows start from, one or a list; default: `path`.
    media: tuple[str, ...] = ()
    zip_names: str = ""  # encoding of names in zips that do not mark them as UTF-8, e.g. gbk
    title: str = ""
    modality: Literal["", "text", "image", "multi-image", "video"] = ""  # "": not declared
    category: str = "vqa"
    cot: Cot = "none"
    files: tuple[str, ...] = ()  # globs of the files that hold rows; default: by format
    heldout: str = ""  # regex over their paths; with `folder`, over the paths of the media
    ignore: tuple[str, ...] = ()  # keys of rows that no sample needs

    @pydantic.model_validator(mode="before")
    @classmethod
    def _older_key(cls, values: Any) -> Any:
        """Accept `layout`, the key's older name, where `format` is not given."""
        if isinstance(values, dict) and "layout" in values and "format" not in values:
            return {"format" if key == "layout" else key: v for key, v in values.items()}
        return values

    @pydantic.field_validator("media", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return ((value,) if value else ()) if isinstance(value, str) else value

    @pydantic.field_validator("zip_names")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError as error:
            raise ValueError(f"no encoding {value!r}; use gbk, shift_jis, big5, ...") from error
        return value

    @pydantic.field_validator("heldout")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"invalid regular expression: {error}") from error
        return value


class Catalogue(StrictModel):
    """A catalogue file."""

    corpora: tuple[Corpus, ...] = pydantic.Field(min_length=1)


def source_from(corpus: Mapping[str, Any]) -> Source:
    """Return the source of one catalogue entry, as fetch.json keeps it, paths absolute."""
    entry = Corpus.model_validate(corpus)
    file_format, globs = _FORMATS[entry.format]
    return Source(
        id=entry.id,
        title=entry.title or entry.id,
        role="user",
        modality=entry.modality or "image",
        licence=entry.licence,
        origin=Local(url=entry.path, media=entry.media, zip_names=entry.zip_names),
        format=file_format,
        adapt=UserRow(
            category=entry.category,
            cot=entry.cot,
            root=_root(entry),
            heldout=entry.heldout if entry.format == "folder" else "",
            ignore=entry.ignore,
        ),
        rows_in=entry.files or globs,
        media_in=("*.tar", "*.zip"),
        heldout="" if entry.format == "folder" else entry.heldout,
        version=3,
        catalogue=entry.model_dump(mode="json"),
    )


def read_catalogue(path: str) -> dict[str, Source]:
    """Return the sources that a catalogue file describes; paths are relative to the file's folder.

    Raises:
        UsageError: the file cannot be read, or a key or value in it is not allowed.
    """
    found = read_mapping(path, "a catalogue has a list `corpora`")
    catalogue = validated(Catalogue, found, path)
    sources = {}
    for corpus in catalogue.corpora:
        if corpus.id in sources:
            raise UsageError(f"{path}: corpora: {corpus.id} is listed twice; rename one")
        for name, place in (("path", corpus.path), *(("media", one) for one in corpus.media)):
            scheme = place.partition("://")[0]
            if "://" in place and scheme not in known_implementations:
                raise UsageError(
                    f"{path}: {corpus.id}.{name} is {place!r}; no store is known as {scheme!r}"
                    f"{nearest(scheme, known_implementations)}"
                )
        places = {
            "path": _absolute(path, corpus.path),
            "media": tuple(_absolute(path, one) for one in corpus.media),
        }
        sources[corpus.id] = source_from(corpus.model_dump(mode="json") | places)
    return sources


def _root(entry: Corpus) -> str:
    """Return the folder that rows may name media below by their full path.

    With several folders the path tells which one is meant, so that it is looked up in full.
    """
    return (entry.media or (entry.path,))[0].rstrip("/") if len(entry.media) < 2 else ""


def _absolute(catalogue: str, place: str) -> str:
    """Return an absolute path or a URL; links stay as they are, for rows may name them."""
    if "://" in place:
        return place
    path = Path(catalogue).parent / Path(place).expanduser()
    return str(path.resolve() if ".." in path.parts else path.absolute())
