"""Read a mixture's YAML: `extends`, sources taken off numbers, errors that name file and key."""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from smolmix.errors import UsageError
from smolmix.mixtures.spec import FAMILIES, Spec
from smolmix.mixtures.where import TAG_PREFIX

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SHIPPED = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A spec as read, and what stood beside it."""

    spec: Spec
    path: str
    sources: Mapping[str, str] = field(default_factory=dict)  # key path -> source of the number
    raw: Mapping[str, Any] = field(default_factory=dict)  # after `extends`, sources taken off


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        UsageError: the file is missing, is not YAML, or holds no mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as error:
        shipped = ", ".join(sorted(p.stem for p in _SHIPPED.glob("*.yaml")))
        raise UsageError(
            f"{path}: no such file; write one, or name one of smolmix's own: {shipped}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: holds no mapping; a mixture has at least name and components")
    return value


def _merge(below: Any, above: Any) -> Any:
    """Return `below` with the keys of `above` laid over it.

    A null takes a key away; a key with `*` is laid over every inherited key it matches.
    """
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif "*" in str(key):
            for name in fnmatch.filter(below, key):
                merged[name] = _merge(merged[name], value)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def resolve(name: str | Path) -> Path:
    """Return the path of a spec: the file itself, or smolmix's own mixture of that name."""
    path = Path(name)
    shipped = _SHIPPED / f"{name}.yaml"
    return shipped if not path.exists() and "/" not in str(name) and shipped.exists() else path


def load_extended(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file, laid over the one that its `extends` names.

    Raises:
        UsageError: a file is missing or no mapping, or `extends` goes in a circle.
    """
    value = load_yaml(path)
    parent = value.pop("extends", None)
    if parent is None:
        return value
    if not isinstance(parent, str):
        raise UsageError(f"{path}: extends is {parent!r}; name one file")
    beside = path.parent / parent
    below = beside if beside.exists() else resolve(parent)
    if below.resolve() in (p.resolve() for p in (*seen, path)):
        raise UsageError(f"{path}: extends {parent}, which extends {path.name}; break the circle")
    merged = _merge(load_extended(below, (*seen, path)), value)
    assert isinstance(merged, dict)
    return merged


def _strip(value: Any, at: str, sources: dict[str, str]) -> Any:
    """Return the value with `{value, source}` pairs replaced by their value."""
    if isinstance(value, dict):
        if "value" in value and set(value) <= {"value", "source"}:
            sources[at] = str(value.get("source", ""))
            return value["value"]
        prefix = f"{at}." if at else ""
        return {k: _strip(v, f"{prefix}{k}", sources) for k, v in value.items()}
    if isinstance(value, list):
        return [_strip(v, f"{at}[{i}]", sources) for i, v in enumerate(value)]
    return value


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(path: str, error: Any) -> str:
    at = ".".join(str(part) for part in error["loc"])
    message = re.sub(r"^(Value error|Assertion failed), ", "", error["msg"])
    if error["type"] == "missing":
        return f"{path}: {at}: missing; it must be given"
    found = error["input"]
    if isinstance(found, dict):
        return f"{path}: {at}: {message}" if at else f"{path}: {message}"
    return f"{path}: {at} is {_said(found)}; {message[0].lower()}{message[1:]}"


def _check_families(path: str, spec: Spec) -> None:
    for family, members in spec.shares.items():
        if family not in FAMILIES and not family.startswith(TAG_PREFIX):
            raise UsageError(
                f"{path}: shares.{family}: no such tag; allowed: {', '.join(FAMILIES)}, tags.NAME"
            )
        low = sum(bounds.min for bounds in members.values())
        units = {bounds.unit or spec.unit for bounds in members.values()}
        if len(units) == 1 and low > 1 + 1e-9:
            raise UsageError(
                f"{path}: shares.{family}: its shares add up to {low:g}; at most 1; "
                "make some ranged or free"
            )
        if family == "component":
            for name in members:
                if name not in spec.components:
                    raise UsageError(
                        f"{path}: shares.component.{name}: no such component; "
                        f"known: {', '.join(spec.components)}"
                    )
    low = sum(c.share.min for c in spec.components.values() if c.share is not None)
    units = {c.share.unit or spec.unit for c in spec.components.values() if c.share is not None}
    if len(units) == 1 and low > 1 + 1e-9:
        raise UsageError(f"{path}: components: their shares add up to {low:g}; at most 1")
    for cot, cap in (("declared", spec.caps.cot), ("detected", spec.caps.cot_detected)):
        asked = spec.shares.get("cot", {}).get(cot)
        if asked is not None and asked.min > cap.max:
            key = "cot" if cot == "declared" else "cot_detected"
            raise UsageError(
                f"{path}: caps.{key} is {cap.max:g}, below shares.cot.{cot}, which is at least "
                f"{asked.min:g}; raise the cap or lower the share"
            )


def parse_spec(value: Mapping[str, Any], path: str) -> Reading:
    """Return the spec that a parsed file holds.

    Raises:
        UsageError: it is no mixture; one line for each fault, naming file and key.
    """
    sources: dict[str, str] = {}
    raw = _strip(dict(value), "", sources)
    try:
        spec = Spec.model_validate(raw)
    except ValidationError as error:
        lines = [_line(path, e) for e in error.errors(include_url=False)]
        raise UsageError("\n".join(lines)) from error
    _check_families(path, spec)
    return Reading(spec=spec, path=path, sources=sources, raw=raw)


def read_spec(name: str | Path) -> Reading:
    """Return the mixture in a file, or smolmix's own mixture of that name.

    Raises:
        UsageError: the file is missing, is not YAML, or is no mixture.
    """
    path = resolve(name)
    return parse_spec(load_extended(path), str(path))
