"""Rows in one shape, however their file spells lists of objects.

`datasets` stores a sequence of objects as a struct of lists, some tools store it as JSON in a text
column, Spark and DuckDB as maps. They mean the same, and adapters see a list of objects.
"""

import json
from collections.abc import Mapping
from typing import Any

from smolmix.pipelines.sources.user_keys import CHATS, IMAGE_KEY, PAIRS, VIDEO_KEY


def with_lists(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row with its chats, pairs and media as lists of objects."""
    changed = {
        key: found
        for key, value in values.items()
        if (key in CHATS or key == PAIRS or _is_media(key))
        and (found := _listed(value, parse=True)) is not value
    }
    return {**values, **changed} if changed else values


def _is_media(key: str) -> bool:
    return bool(IMAGE_KEY.fullmatch(key) or VIDEO_KEY.fullmatch(key))


def _listed(value: Any, *, parse: bool = False) -> Any:
    """Return a value as a list where it spells one in another way, else the value itself."""
    if isinstance(value, str) and parse and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return value  # a name or text that starts with a bracket
    if isinstance(value, dict) and value and all(isinstance(v, list) for v in value.values()):
        if len(set(map(len, value.values()))) > 1:
            return value
        value = [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if isinstance(value, list) and any(_differs(one) for one in value):
        return [_entry(one, parse=parse) for one in value]
    return value


def _differs(entry: Any) -> bool:
    if isinstance(entry, str):
        return entry.lstrip()[:1] == "{"
    return _is_map(entry) or (isinstance(entry, dict) and isinstance(entry.get("content"), dict))


def _entry(entry: Any, *, parse: bool) -> Any:
    if isinstance(entry, str) and parse:
        try:
            entry = json.loads(entry)
        except ValueError:
            return entry
    if _is_map(entry):
        entry = dict(entry)
    if isinstance(entry, dict) and isinstance(entry.get("content"), dict):
        entry = {**entry, "content": _listed(entry["content"])}
    return entry


def _is_map(entry: Any) -> bool:
    """Whether it is Arrow's map: a list of pairs of a name and a value."""
    return (
        isinstance(entry, list)
        and bool(entry)
        and all(isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in entry)
    )
