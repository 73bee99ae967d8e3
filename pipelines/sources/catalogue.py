"""A user's own corpora without code: a YAML file that names a path and a layout.

corpora:
  - id: my-charts
    path: /data/charts            # a folder, or any fsspec URL
    layout: llava                 # llava | parquet | webdataset | folder
    licence: CC-BY-4.0
    category: chart
"""

from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from smolmix.errors import UsageError, nearest
from smolmix.pipelines.layouts.json_array import JsonArray
from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.layouts.layout import Layout
from smolmix.pipelines.layouts.parquet import Parquet
from smolmix.pipelines.layouts.webdataset import WebDataset
from smolmix.pipelines.sources.source import Local, Source
from smolmix.pipelines.sources.user_rows import UserRow
from smolmix.sample import Cot

CAPTIONS = "captions.jsonl"  # made of the captions beside images or videos of a folder
_CHATS = ("conversations", "messages", "texts", "caption", "text")
_FIELDS = (*_CHATS, "images", "image", "video", "id")
_LAYOUTS: dict[str, tuple[Layout, tuple[str, ...]]] = {
    "llava": (JsonArray(), ("*.json", "*.jsonl")),
    "parquet": (Parquet(columns=(), optional=_FIELDS), ("*.parquet",)),
    "webdataset": (WebDataset(), ("*.tar",)),
    "folder": (JsonLines(), (CAPTIONS,)),
}


class Corpus(pydantic.BaseModel):
    """One corpus of a user's catalogue."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: str = pydantic.Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    path: str
    layout: Literal["llava", "parquet", "webdataset", "folder"]
    licence: str = pydantic.Field(min_length=1)
    media: str = ""  # the folder that paths in rows start from; default: `path`
    title: str = ""
    modality: Literal["text", "image", "multi-image", "video"] = "image"
    category: str = "vqa"
    cot: Cot = "none"
    files: tuple[str, ...] = ()  # globs of the files that hold rows; default: by layout
    heldout: str = ""  # regex over their paths


class Catalogue(pydantic.BaseModel):
    """A catalogue file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    corpora: tuple[Corpus, ...]


def source_from(corpus: dict[str, Any]) -> Source:
    """Return the source of one catalogue entry, as fetch.json keeps it."""
    entry = Corpus.model_validate(corpus)
    layout, globs = _LAYOUTS[entry.layout]
    return Source(
        id=entry.id,
        title=entry.title or entry.id,
        role="user",
        modality=entry.modality,
        licence=entry.licence,
        origin=Local(url=entry.path, media=entry.media),
        layout=layout,
        adapt=UserRow(category=entry.category, cot=entry.cot),
        rows_in=entry.files or globs,
        media_in=("*.tar", "*.zip"),
        heldout=entry.heldout,
        catalogue=entry.model_dump(mode="json"),
    )


def read_catalogue(path: str) -> dict[str, Source]:
    """Return the sources a catalogue file names; relative paths start at the file's folder.

    Raises:
        UsageError: the file cannot be read, or a key or value in it is not allowed.
    """
    try:
        found = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: {error}; give a YAML file with a list `corpora`") from error
    try:
        catalogue = Catalogue.model_validate(found)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {_explain(error)}") from error
    sources = {}
    for corpus in catalogue.corpora:
        if corpus.id in sources:
            raise UsageError(f"{path}: corpora: {corpus.id} stands there twice; rename one")
        places = {
            name: place if "://" in place else str((Path(path).parent / _home(place)).resolve())
            for name, place in (("path", corpus.path), ("media", corpus.media))
            if place
        }
        sources[corpus.id] = source_from(corpus.model_dump(mode="json") | places)
    return sources


def _home(place: str) -> Path:
    return Path(place).expanduser()


def _explain(error: pydantic.ValidationError) -> str:
    found_all = error.errors()
    first = next((e for e in found_all if e["type"] == "extra_forbidden"), found_all[0])
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    key = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        known = set(Corpus.model_fields) | set(Catalogue.model_fields)
        return f"{where}: no such key{nearest(key, known)}; allowed are {', '.join(sorted(known))}"
    found = f" is {first['input']!r}" if first["type"] != "missing" else ""
    return f"{where}{found}: {first['msg'][:1].lower()}{first['msg'][1:]}"
