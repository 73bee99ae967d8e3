"""Convert a mixture of the released smolvlm2 code into a spec that takes the same rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from smolmix.config import read_mapping
from smolmix.errors import UsageError
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.smolvlm2_entries import origin

_MODALITY = {"multiimage": "multi-image", "multi-image": "multi-image"}
_COUNT = re.compile(r"#?\s*([\d,]+)\s+samples")
_CARRIED = (
    "name",
    "json_path",
    "modality",
    "sampling_strategy",
    "_comment",
    "category",
    "duration",
    "path",
    "source",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A spec as plain values, and what could not be imported."""

    spec: dict[str, Any]
    remarks: list[str] = field(default_factory=list)


def _strategy(text: str, at: str) -> dict[str, Any]:
    """Return `take` and `rule` for a sampling strategy.

    Source: huggingface/smollm smolvlm2 dataset.py: `all`, or `first|end|random` with a number or
    a percentage; a percentage is rounded up, `random` shuffles with seed 42.
    """
    if text == "all" or ":" not in text:
        return {"take": "all"}
    kind, amount = text.split(":", 1)
    if kind not in ("first", "end", "random"):
        raise UsageError(
            f"{at}: sampling_strategy is {text!r}; known are all, first:N, end:N%, random:N%"
        )
    amount = amount.strip()
    try:
        number = float(amount.removesuffix("%"))
    except ValueError as error:
        raise UsageError(
            f"{at}: sampling_strategy is {text!r}; its amount is not a number"
        ) from error
    if amount.endswith("%"):
        return {"take": "all"} if number >= 100 else {"take": amount, "rule": kind}
    return {"take": int(number), "rule": kind}


def _entry(entry: Mapping[str, Any], at: str, remarks: list[str]) -> tuple[str, dict[str, Any]]:
    name = str(entry.get("name") or entry.get("json_path") or "")
    if not name:
        raise UsageError(f"{at}: has neither name nor json_path")
    json_path = str(entry.get("json_path", ""))
    modality = str(entry.get("modality", "image"))
    found = origin(name, json_path)
    if found is None:
        found = {
            "corpus": str(entry.get("path") or name),
            "unpublished": f"prepared file {json_path or '?'}: no published corpus is known for it",
        }
        remarks.append(f"{name}: no published corpus is known; set corpus by hand")
    out: dict[str, Any] = {
        **{k: found[k] for k in ("corpus", "subset", "where") if k in found},
        "modality": _MODALITY.get(modality, modality),
    }
    if entry.get("category"):
        out["category"] = str(entry["category"])
    out.update(_strategy(str(entry.get("sampling_strategy", "all")), at))
    declared = dict(found.get("declared", {}))
    count = _COUNT.search(str(entry.get("_comment", "")))
    if count:
        declared = {"samples": int(count.group(1).replace(",", "")), **declared}
    else:
        remarks.append(f"{name}: no count in _comment; its number of rows is unknown")
    if isinstance(out["take"], int) and count and out["take"] > declared["samples"]:
        remarks.append(f"{name}: takes {out['take']:,} of {declared['samples']:,}; takes all")
        out["take"] = "all"
        out.pop("rule", None)
    if declared:
        out["declared"] = declared
    notes = [str(found["note"])] if "note" in found else []
    if entry.get("duration"):
        notes.append(f"tagged {entry['duration']}")
    if notes:
        out["note"] = "; ".join(notes)
    if "unpublished" in found:
        out["unpublished"] = found["unpublished"]
    return name, out


def import_smolvlm2(path: Path) -> Imported:
    """Return the spec of a smolvlm2 mixture YAML.

    Raises:
        UsageError: the file is not such a mixture.
    """
    value = read_mapping(path, "a smolvlm2 mixture has lists of datasets")
    entries = [(key, e) for key, group in value.items() for e in _listed(group, f"{path}: {key}")]
    remarks: list[str] = []
    components: dict[str, Any] = {}
    lost: dict[str, int] = {}
    for i, (key, entry) in enumerate(entries):
        name, component = _entry(entry, f"{path}: {key}[{i}]", remarks)
        if name in components:
            raise UsageError(f"{path}: {key}[{i}]: {name!r} is listed twice; rename one of them")
        components[name] = component
        for field_name in entry:
            if field_name not in _CARRIED:
                lost[field_name] = lost.get(field_name, 0) + 1
    why = {
        "quality": "a hand-given grade of the source that the released code never reads",
        "source_fps": "the frame rate of frame folders; the adapter of the corpus knows it",
    }
    remarks.extend(
        f"{name} of {count} entries is not imported: {why.get(name, 'a spec has no such key')}"
        for name, count in sorted(lost.items())
    )
    spec = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-.") or "imported",
        "about": f"Imported from {path.name}, a smolvlm2 mixture of {len(components)} entries.",
        "seed": 0,
        "total": "max",
        "components": components,
    }
    parse_spec(spec, str(path))
    return Imported(spec=spec, remarks=remarks)


def _listed(group: Any, at: str) -> list[Mapping[str, Any]]:
    if not isinstance(group, list) or not all(isinstance(e, dict) for e in group):
        raise UsageError(f"{at}: is not a list of entries; a smolvlm2 mixture has `datasets:`")
    return group


class _Dumper(yaml.SafeDumper):
    """Writes each component on one line, as far as it fits."""


class _Flow(dict[str, Any]):
    pass


_Dumper.add_representer(
    _Flow,
    lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True),
)


def to_yaml(spec: Mapping[str, Any]) -> str:
    """Return a spec's YAML, one component a paragraph."""
    head = {k: v for k, v in spec.items() if k != "components"}
    flow = {name: _Flow(component) for name, component in spec["components"].items()}
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 98}
    top = str(yaml.dump(head, Dumper=_Dumper, **options))
    return top + str(yaml.dump({"components": flow}, Dumper=_Dumper, **options))
