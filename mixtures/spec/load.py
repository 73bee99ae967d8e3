"""Read a mixture's YAML: `extends`, sources of numbers, errors that name file and key."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smolmix.config import located, read_mapping, validated
from smolmix.errors import UsageError, nearest
from smolmix.mixtures.spec.conditions import TAG_PREFIX
from smolmix.mixtures.spec.spec import FAMILIES, ROUNDED, VALUES, Spec

_SHIPPED = Path(__file__).resolve().parent.parent
HOLDS = "a mixture has at least name and components"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A spec as read, with its file and the sources of its numbers."""

    spec: Spec
    path: str
    sources: Mapping[str, str] = field(default_factory=dict)  # key path -> source of the number
    raw: Mapping[str, Any] = field(default_factory=dict)  # after `extends`, without sources


def _merge(below: Any, above: Any) -> Any:
    """Return `below` with the keys of `above` merged over it.

    A null removes a key; a key with `*` is merged over every inherited key that it matches.
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


def shipped() -> list[str]:
    """Return the names of smolmix's own mixtures."""
    return sorted(p.stem for p in _SHIPPED.glob("*.yaml"))


def resolve(name: str | Path) -> Path:
    """Return the path of a spec: the file itself, or the shipped mixture of that name."""
    path = Path(name)
    ours = _SHIPPED / f"{name}.yaml"
    return ours if not path.exists() and "/" not in str(name) and ours.exists() else path


def load_extended(
    path: Path, holds: str = HOLDS, shipped: Iterable[str] = (), seen: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Return the mapping in a YAML file, merged over the one that its `extends` names.

    Args:
        path: the file.
        holds: what such a file has, for messages.
        shipped: names that may be given in place of a file, for messages.
        seen: the files that extend this one.

    Raises:
        UsageError: a file is missing or not a mapping, or files extend each other in a circle.
    """
    value = read_mapping(path, holds, shipped)
    parent = value.pop("extends", None)
    if parent is None:
        return value
    if not isinstance(parent, str):
        raise UsageError(f"{path}: extends is {parent!r}; name one file")
    relative = path.parent / parent
    below = relative if relative.exists() else resolve(parent)
    if below.resolve() in (p.resolve() for p in (*seen, path)):
        raise UsageError(
            f"{path}: extends {parent}, which extends {path.name}; remove one of the two"
        )
    merged = _merge(load_extended(below, holds, shipped, (*seen, path)), value)
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


def _check_families(path: str, spec: Spec) -> None:
    def at(*place: str) -> str:
        """Return the line and the key of a place in the file."""
        return f"{located(path, place)}: {'.'.join(place)}"

    for family, members in spec.shares.items():
        if family not in FAMILIES and not family.startswith(TAG_PREFIX):
            raise UsageError(
                f"{at('shares', family)}: no such tag; allowed: {', '.join(FAMILIES)}, tags.NAME"
                f"{nearest(family, FAMILIES)}"
            )
        for value in members if family in VALUES else ():
            if value not in VALUES[family]:
                raise UsageError(
                    f"{at('shares', family, value)}: no such {family}; allowed: "
                    f"{', '.join(VALUES[family])}{nearest(value, VALUES[family])}"
                )
        low = sum(bounds.min for bounds in members.values())
        units = {bounds.unit or spec.unit for bounds in members.values()}
        if len(units) == 1 and low > 1 + ROUNDED + 1e-9:
            raise UsageError(
                f"{at('shares', family)}: its shares add up to {low:g}; at most 1; "
                "lower some, or write them as ranges"
            )
        if family == "component":
            for name in members:
                if name not in spec.components:
                    raise UsageError(
                        f"{at('shares', family, name)}: no such component; known: "
                        f"{', '.join(spec.components)}{nearest(name, spec.components)}"
                    )
    low = sum(c.share.min for c in spec.components.values() if c.share is not None)
    units = {c.share.unit or spec.unit for c in spec.components.values() if c.share is not None}
    if len(units) == 1 and low > 1 + ROUNDED + 1e-9:
        raise UsageError(f"{at('components')}: their shares add up to {low:g}; at most 1")
    for cot, cap in (("declared", spec.caps.cot), ("detected", spec.caps.cot_detected)):
        share = spec.shares.get("cot", {}).get(cot)
        if share is not None and share.min > cap.max:
            key = "cot" if cot == "declared" else "cot_detected"
            raise UsageError(
                f"{at('caps', key)} is {cap.max:g}, below shares.cot.{cot}, which is at least "
                f"{share.min:g}; raise the cap or lower the share"
            )


def parse_spec(value: Mapping[str, Any], path: str) -> Reading:
    """Return the spec in a parsed file.

    Raises:
        UsageError: the spec is invalid; one line for each error, with file and key.
    """
    sources: dict[str, str] = {}
    raw = _strip(dict(value), "", sources)
    spec = validated(Spec, raw, path)
    _check_families(path, spec)
    return Reading(spec=spec, path=path, sources=sources, raw=raw)


def read_spec(name: str | Path) -> Reading:
    """Return the mixture in a file, or the shipped mixture of that name.

    Raises:
        UsageError: the file is missing, is not YAML, or is not a mixture.
    """
    path = resolve(name)
    return parse_spec(load_extended(path, shipped=shipped()), str(path))
