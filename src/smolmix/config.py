"""Reads the YAML that people write, strictly: an error is one line with file, line, key and value.

Mixtures, recipes, plans, policies and catalogues are all read here, so that the same mistake gets
the same answer everywhere. A line number is looked up only for an error, in the file itself: values
that were merged with those of another file (`extends`) still have the line that wrote them.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from smolmix.errors import UsageError, nearest

_LONGEST = 60  # characters of a value that a message repeats
_ALLOWED = {
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
}

# What a value is also called where an error is inside it: it could have had another type, or a list
# lacks the item that was refused.
_FOLLOWS = {*_ALLOWED, "too_short"}

M = TypeVar("M", bound=BaseModel)


class StrictModel(BaseModel):
    """What a part of a YAML file holds: unknown keys are refused, and nothing changes later.

    The text below a key is its description.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# The base class is known only at run time: PyYAML may lack its C part.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader, which also refuses a key that is given twice: the last one would win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node.

        Raises:
            yaml.YAMLError: a key is given twice.
        """
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: {key.value!r} is given twice; keep one")
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))


def mapping_in(text: str, where: str, holds: str) -> dict[str, Any]:
    """Return the mapping that YAML text holds.

    Args:
        text: YAML.
        where: the file's name in messages.
        holds: what such a file has, as in "a mixture has at least name and components".

    Raises:
        UsageError: the text is not YAML, gives a key twice, or is not a mapping.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise UsageError(f"{where}: not YAML ({at}{problem})") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
    if value is None:
        raise UsageError(f"{where}: empty; {holds}")
    if not isinstance(value, dict):
        raise UsageError(f"{where}: holds {_short(value)}, not keys with values; {holds}")
    return value


def _similar(path: Path, shipped: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest of the user's files and those that ship."""
    known = {name: name for name in shipped}
    known |= {file.stem: str(file) for file in sorted(path.parent.glob("*.y*ml"))}
    match = difflib.get_close_matches(path.stem, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {known[match[0]]!r}?" if match else ""


def read_mapping(path: str | Path, holds: str, shipped: Iterable[str] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: the file.
        holds: what such a file has.
        shipped: names of files that ship with smolmix, to suggest where there is no such file.

    Raises:
        UsageError: the file is missing, not a file, not UTF-8, not YAML, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        names = sorted(shipped)
        ours = f"write one, or name one that ships: {', '.join(names)}" if names else holds
        raise UsageError(f"{path}: no such file; {ours}{_similar(Path(path), names)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name a file") from error
    return mapping_in(text, str(path), holds)


def validated(model: type[M], value: object, where: str | Path) -> M:
    """Return the value as a model.

    Args:
        model: what the file holds.
        value: the parsed file.
        where: the file, whose lines the message names; or another text to start each line with.

    Raises:
        UsageError: a line for each error, with file, line, key, value and what is allowed.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise UsageError(
            "\n".join(
                f"{located(where, place)}: {problem}"
                for place, problem in _problems(error, model, value)
            )
        ) from error


Place = tuple[int | str, ...]


def located(where: str | Path, place: Place) -> str:
    """Return `file:line` of the deepest part of a place that a file writes, or `where` itself.

    Args:
        where: the file, or another text where there is none.
        place: the keys and list indices that lead to a value.
    """
    file, line = _line_of(Path(where), place)
    return f"{file or where}:{line}" if line else str(where)


def _problems(
    error: ValidationError, model: type[BaseModel], value: object
) -> list[tuple[Place, str]]:
    """Return (place, what is wrong there) once for each error, unknown keys first.

    An unknown key comes first because others follow from it: a misspelt key is also a missing one.
    Where a value may have one of several types, pydantic reports each type's error; these are one.
    """
    found: dict[Place, list[Mapping[str, Any]]] = {}
    for one in sorted(
        error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden"
    ):
        found.setdefault(_place(one, model, value), []).append(one)
    meant = {
        (*place[:-1], name)
        for place, ones in found.items()
        if ones[0]["type"] == "extra_forbidden"
        and (name := _meant(str(place[-1]), _keys_at(model, place[:-1])))
    }
    problems = []
    for place, ones in found.items():
        if ones[0]["type"] == "missing" and place in meant:
            continue
        deeper = any(p != place and p[: len(place)] == place for p in found)
        if deeper and all(e["type"] in _FOLLOWS for e in ones):
            continue
        texts = dict.fromkeys(_problem(e, model, place) for e in ones)
        problems.append((place, _joined(list(texts))))
    return problems


def _joined(texts: list[str]) -> str:
    """Return one text for the errors of one value: "x is 3; a list or text is allowed"."""
    heads = {t.partition("; ")[0] for t in texts}
    if len(texts) == 1 or len(heads) > 1:
        return texts[0]
    allowed = [t.partition("; ")[2].removesuffix(" is allowed") for t in texts]
    return f"{heads.pop()}; {' or '.join(allowed)} is allowed"


def _place(error: Mapping[str, Any], model: type[BaseModel], value: object) -> Place:
    """Return where in the file an error is: its location without the names of types."""
    location: Place = error["loc"]
    place, here = list[int | str](), value
    for number, part in enumerate(location):
        missing = error["type"] == "missing" and number == len(location) - 1
        try:
            here = here[part]  # type: ignore[index]  # a mapping or a list, or it raises
        except (KeyError, IndexError, TypeError):
            if not (missing or part in _keys_at(model, tuple(place))):
                continue  # the name of a type
            here = None
        place.append(part)
    return tuple(place)


def _problem(error: Mapping[str, Any], model: type[BaseModel], place: Place) -> str:
    kind = error["type"]
    at = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        known = _keys_at(model, place[:-1])
        return f"{at}: no such key; allowed: {', '.join(known)}{nearest(str(place[-1]), known)}"
    if kind == "missing":
        return f"{at}: missing; it must be given"
    if isinstance(error["input"], dict) and kind == "value_error":
        message = _message(error)
        return f"{at}: {message}" if at else message
    return f"{at} is {_short(error['input'])}; {_allowed(error)}"


def _allowed(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind in _ALLOWED:
        return f"{_ALLOWED[kind]} is allowed"
    if kind == "too_short":
        return "at least one is needed"
    if kind == "literal_error":
        expected = error["ctx"]["expected"]
        names = re.findall(r"'([^']*)'", expected)
        return f"{expected} is allowed{nearest(str(error['input']), names)}"
    if kind == "string_pattern_mismatch" and "[a-z0-9]" in error["ctx"]["pattern"]:
        marks = " ".join(c for c in "._-%" if c in error["ctx"]["pattern"].rsplit("[", 1)[-1])
        return f"lower-case letters, digits and {marks} are allowed, a letter or digit first"
    message = _message(error)
    return f"{message[:1].lower()}{message[1:]}"


def _message(error: Mapping[str, Any]) -> str:
    return re.sub(r"^(Value error|Assertion failed), ", "", error["msg"])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _meant(name: str, known: list[str]) -> str:
    """Return the known key that a misspelt one stands for, or an empty string."""
    hint = re.search(r"did you mean '(.*)'\?", nearest(name, known))
    return hint[1] if hint else ""


def _line_of(path: Path, place: Place) -> tuple[Path | None, int]:
    """Return the file and line that wrote the value at a place; (None, 0) where unknown.

    A file that `extends` another may not write the value itself: then the other one is searched.
    """
    seen = set[Path]()
    best: tuple[Path | None, int] = (None, 0)
    while path.is_file() and path not in seen:
        seen.add(path)
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=_Loader)
        line, depth = _line_in(root, place)
        if depth == len(place):
            return path, line
        if best[0] is None and depth:
            best = (path, line)
        base = next((v for k, v in _pairs(root) if k.value == "extends"), None)
        if base is None:
            break
        path = path.parent / str(base.value)
        path = path if path.is_file() else path.with_name(f"{path.name}.yaml")
    return best


def _line_in(node: Any, place: Place) -> tuple[int, int]:
    """Return the line of the deepest part of a place that a YAML node has, and how deep it is."""
    line = 0
    for depth, part in enumerate(place):
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        found = next(((k, v) for k, v in _pairs(node) if k.value == str(part)), None)
        if found is None:
            return line, depth
        line, node = found[0].start_mark.line + 1, found[1]
    return line, len(place)


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _keys_at(model: type[BaseModel], place: Place) -> list[str]:
    """Return the keys that are allowed at a place in the file."""
    return list(dict.fromkeys(k for m in _models_at(model, place) for k in _keys(m)))


def _keys(model: type[BaseModel]) -> Iterator[str]:
    # The class's own keys first: a key that every part of a file may have is the least likely one.
    own = [name for name in model.model_fields if name in model.__annotations__]
    for name in dict.fromkeys((*own, *model.model_fields)):
        yield model.model_fields[name].alias or name


def _models_at(model: type[BaseModel], place: Place) -> list[type[BaseModel]]:
    """Return the models that a place in the file may hold."""
    types: list[Any] = [model]
    for part in place:
        inner: list[Any] = []
        for one in types:
            if isinstance(one, type) and issubclass(one, BaseModel):
                by_key = {f.alias or name: f for name, f in one.model_fields.items()}
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
