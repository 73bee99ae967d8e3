"""YAML that people write: read strictly, every fault one line that names file, key and value.

Mixtures, recipes, plans, policies and catalogues are all read here, so that the same slip gets
the same answer everywhere.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from smolmix.errors import UsageError, nearest

_LONGEST = 60  # characters of a value that a message repeats
_WANTED = {
    "dict_type": "keys with values are wanted",
    "model_type": "keys with values are wanted",
    "model_attributes_type": "keys with values are wanted",
    "list_type": "a list is wanted",
    "tuple_type": "a list is wanted",
    "too_short": "at least one is needed",
    "string_type": "text is wanted; put it in quotes",
    "bool_type": "true or false is wanted",
    "bool_parsing": "true or false is wanted",
    "int_type": "a whole number is wanted",
    "int_parsing": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_type": "a number is wanted",
    "float_parsing": "a number is wanted",
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, which also refuses a key that stands twice: the last one would win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node.

        Raises:
            yaml.YAMLError: a key stands there twice.
        """
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: {key.value!r} stands there twice; keep one")
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def mapping_in(text: str, where: str, holds: str) -> dict[str, Any]:
    """Return the mapping that YAML text is.

    Args:
        text: YAML.
        where: said in messages.
        holds: what such a file has, as in "a mixture has at least name and components".

    Raises:
        UsageError: it is not YAML, a key stands twice, or it is no mapping.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        said = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise UsageError(f"{where}: not YAML ({at}{said})") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
    if value is None:
        raise UsageError(f"{where}: empty; {holds}")
    if not isinstance(value, dict):
        raise UsageError(f"{where}: holds {_short(value)}, no keys with values; {holds}")
    return value


def read_mapping(path: str | Path, holds: str, shipped: Iterable[str] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: the file.
        holds: what such a file has.
        shipped: names that would have done in place of a file.

    Raises:
        UsageError: the file is not there, no file, not UTF-8 or not YAML, or holds no mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        names = sorted(shipped)
        ours = f"write one, or name one of smolmix's own: {', '.join(names)}" if names else holds
        hint = nearest(Path(path).stem, names)
        raise UsageError(f"{path}: no such file; {ours}{hint}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file") from error
    return mapping_in(text, str(path), holds)


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return a line for each fault, unknown keys first: those are what the others come from."""
    found = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    return [_fault(e, model) for e in found]


def _fault(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    loc, kind = error["loc"], error["type"]
    at = ".".join(str(part) for part in loc)
    if kind == "extra_forbidden":
        known = list(dict.fromkeys(k for m in _models_at(model, loc[:-1]) for k in _keys(m)))
        return f"{at}: no such key; allowed: {', '.join(known)}{nearest(str(loc[-1]), known)}"
    if kind == "missing":
        return f"{at}: missing; it must be given"
    said = _WANTED.get(kind) or re.sub(r"^(Value error|Assertion failed), ", "", error["msg"])
    if kind == "literal_error":
        expected = error["ctx"]["expected"]
        said = f"{expected} is wanted"
        said += nearest(str(error["input"]), re.findall(r"'([^']*)'", expected))
    elif kind == "string_pattern_mismatch" and "[a-z0-9]" in error["ctx"]["pattern"]:
        marks = " ".join(c for c in "._-%" if c in error["ctx"]["pattern"].rsplit("[", 1)[-1])
        said = f"lower-case letters, digits and {marks} are allowed, a letter or digit first"
    if isinstance(error["input"], dict) and kind == "value_error":
        return f"{at}: {said}" if at else said
    return f"{at} is {_short(error['input'])}; {said[:1].lower()}{said[1:]}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _models_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """Return the models that a place in the file may hold."""
    types: list[Any] = [model]
    for part in loc:
        inner: list[Any] = []
        for one in types:
            if isinstance(one, type) and issubclass(one, BaseModel):
                by_key = dict(zip(_keys(one), one.model_fields.values(), strict=True))
                inner += [by_key[str(part)].annotation] if str(part) in by_key else []
            else:
                inner += [a for a in get_args(one) if a is not type(None) and a is not Ellipsis]
        types = [t for one in inner for t in _flat(one)] or types
    return [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]


def _flat(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, or the annotation itself."""
    origin = get_origin(annotation)
    if origin in (tuple, list, dict) or not get_args(annotation):
        yield annotation
        return
    for member in get_args(annotation):
        yield from _flat(member)
