"""Strata of components that are not curated: from declared counts, else from assumptions."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smolmix.cost import Grid, frame_count, image_grid
from smolmix.errors import UsageError
from smolmix.mixtures.candidates.estimates import Known
from smolmix.mixtures.candidates.strata import Stratum, bucket_name
from smolmix.mixtures.spec.catalogue import CatalogueRow
from smolmix.mixtures.spec.spec import Component, Declared, Spec
from smolmix.profiles import PixelProfile

# Assumed where nothing is declared; every plan that uses one marks it as assumed.
TEXT_TOKENS = {
    "text": (800.0, "0.36 to 0.89 GB of compressed parquet a 300,000 Magpie rows, 4 chars a token"),
    "image": (198.0, "nanoVLM's estimate of text tokens a sample"),
    "multi-image": (198.0, "as for one image"),
    "video": (198.0, "as for one image; frame labels come on top"),
}
PHOTO_PX = (640, 480)  # a COCO-sized photo; most sizes of that shape give the same grid
IMAGES = 3  # of a multi-image sample: M4-Instruct rows with 2 to 4 images were used
NATIVE_FPS = 30.0
LABEL_TOKENS = 10  # of "\nFrame from 00:00:" ahead of each frame, counted with SmolVLM's tokenizer
NOT_KNOWN = 1 << 40  # samples of a component of unknown size: more than any total


_CSV = (
    "samples",
    "text_tokens",
    "visual_tokens",
    "supervised_tokens",
    "duration_s",
    "bytes_on_disk",
    "cot",
)


@dataclass(slots=True, kw_only=True)
class DeclaredComponent:
    """Declared strata of one component, how each quantity is known, and remarks."""

    strata: list[Stratum] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)  # quantity -> how
    sources: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_counts(path: Path) -> dict[str, Declared]:
    """Return declared counts by component, from a CSV with a header.

    The first of the columns `component` and `name` names the component; columns named like the
    keys of `declared:` are read, others are ignored.

    Raises:
        UsageError: the file cannot be read, or has no such columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    key = next((k for k in ("component", "name") if rows and k in rows[0]), None)
    if key is None:
        raise UsageError(f"{path}: no column 'component' or 'name'; one names the component")
    out = {}
    for line, row in enumerate(rows, start=2):
        values = {k: row[k] for k in _CSV if row.get(k)}
        try:
            out[row[key]] = Declared.model_validate({**values, "source": path.name})
        except ValueError as error:
            raise UsageError(f"{path}:{line}: {' '.join(str(error).split())}") from error
    return out


def visual(modality: str, duration_s: float, pixel: PixelProfile) -> tuple[float, float]:
    """Return (visual tokens, extra text tokens) of a sample of that modality, as assumed."""
    if modality == "text":
        return 0.0, 0.0
    if modality == "video":
        frames = frame_count(duration_s, max(1, round(duration_s * NATIVE_FPS)), NATIVE_FPS, pixel)
        one = Grid(rows=0, cols=0).tokens(pixel.tokens_per_tile)
        return float(frames * one), float(frames * LABEL_TOKENS)
    photo = image_grid(*PHOTO_PX, pixel).tokens(pixel.tokens_per_tile)
    return float(photo * (IMAGES if modality == "multi-image" else 1)), 0.0


def lengths(declared: Declared) -> list[tuple[float, float]]:
    """Return (mean duration, share of the samples) of each length bucket."""
    if not declared.durations:
        return [(declared.duration_s or 0.0, 1.0)]
    out, low = [], 0.0
    for high, share in sorted(declared.durations.items()):
        out.append(((low + high) / 2, share))
        low = high
    return out


def _kept(
    spec: Spec,
    name: str,
    component: Component,
    facts: Mapping[str, object],
    found: DeclaredComponent,
) -> bool:
    kept = True
    for condition in (*spec.where, *component.where):
        holds = condition.holds_for_known(facts)
        if holds is None:
            found.warnings.append(
                f"{name}: `{condition}` cannot be applied until the corpus is curated"
            )
        elif not holds:
            kept = False
    return kept


def _size(
    component: Component,
    declared: Declared,
    row: CatalogueRow | None,
    found: DeclaredComponent,
    name: str,
) -> int:
    """Return how many samples the component has; note how that is known."""
    listed = row.samples(component.subset) if row is not None else None
    taken = component.take.samples if component.take is not None else None
    if declared.samples is not None:
        found.known["samples"], found.sources["samples"] = "declared", declared.source
        return declared.samples
    if listed is not None:
        found.known["samples"], found.sources["samples"] = "declared", "the catalogue's rows"
        return listed
    if taken is not None:
        found.known["samples"], found.sources["samples"] = "assumed", "as many as are taken"
        return taken
    found.known["samples"] = "unknown"
    found.warnings.append(f"{name}: the number of samples is unknown; assumed to be enough")
    return NOT_KNOWN


def _note_length(name: str, declared: Declared, found: DeclaredComponent) -> None:
    found.sources["duration_s"] = declared.source
    if declared.duration_s is not None or declared.durations:
        found.known["duration_s"] = "declared"
        return
    found.known["duration_s"] = "unknown"
    found.warnings.append(f"{name}: the duration of its videos is unknown")


def declared_strata(
    spec: Spec,
    name: str,
    row: CatalogueRow | None,
    counts: Declared | None,
    pixel: PixelProfile,
) -> DeclaredComponent:
    """Return the strata of a component that is not curated.

    Args:
        spec: the mixture.
        name: the component.
        row: its corpus in the catalogue, if it is known.
        counts: its row of a CSV, which overrides what the spec declares.
        pixel: fixes tiles and frames.
    """
    component = spec.components[name]
    declared = component.declared
    if counts is not None:
        declared = declared.model_copy(
            update={k: getattr(counts, k) for k in counts.model_fields_set}
        )
    found = DeclaredComponent()
    modality = component.modality or (row.modality if row else "") or "image"
    samples = _size(component, declared, row, found, name)
    if modality == "video":
        _note_length(name, declared, found)
    tags = {
        "corpus": component.corpus,
        "modality": modality,
        "category": component.category or "",
        "licence": component.licence or (row.licence if row else ""),
    }
    if len(component.subset) == 1:
        tags["subset"] = component.subset[0]
    cot = declared.cot or 0.0
    for length, share in lengths(declared):
        for kind, part in (("declared", cot), ("none", 1.0 - cot)):
            count = round(samples * share * part)
            facts: dict[str, object] = {**tags, "cot": kind, "licence": tags["licence"] or None}
            del facts["category"]  # a label of the component, not a measure of its samples
            if modality == "video" and length:
                facts["duration_s"] = length
            if count == 0 or not _kept(spec, name, component, facts, found):
                continue
            if length > spec.caps.duration_s.max:
                continue
            mine = {**tags, "cot": kind}
            if modality == "video" and spec.caps.duration_s.mean is not None:
                mine["bucket"] = bucket_name(length, spec.caps.duration_s.buckets)
            found.strata.append(
                Stratum(
                    component=name,
                    tags={k: v for k, v in sorted(mine.items()) if v},
                    available=count,
                    limit=count * spec.epochs(name),
                    means=_means(declared, modality, length, pixel, found),
                )
            )
    found.strata = _taken(spec, name, found.strata)
    for quantity in declared.assumed:
        found.known["duration_s" if quantity == "durations" else quantity] = "assumed"
        if modality == "video" and quantity in ("duration_s", "durations"):
            found.known["visual_tokens"] = "assumed"
    return found


def _means(
    declared: Declared, modality: str, length: float, pixel: PixelProfile, found: DeclaredComponent
) -> dict[str, float]:
    visual_tokens, labels = visual(modality, length, pixel)
    text, why = TEXT_TOKENS.get(modality, TEXT_TOKENS["image"])
    text += labels
    if declared.text_tokens is not None:
        text, found.known["text_tokens"] = declared.text_tokens, "declared"
    else:
        found.known["text_tokens"], found.sources["text_tokens"] = "assumed", why
    if declared.visual_tokens is not None:
        visual_tokens, found.known["visual_tokens"] = declared.visual_tokens, "declared"
    elif modality == "video" and found.known.get("duration_s") == "declared":
        found.known["visual_tokens"] = "declared"
        found.sources["visual_tokens"] = "frames follow from the declared length"
    elif modality != "text":
        found.known["visual_tokens"] = "assumed"
        found.sources["visual_tokens"] = f"photos of {PHOTO_PX[0]} × {PHOTO_PX[1]}"
        if modality == "multi-image":
            found.sources["visual_tokens"] += f", {IMAGES} a sample"
    means = {"text_tokens": text, "visual_tokens": visual_tokens, "tokens": text + visual_tokens}
    if declared.supervised_tokens is not None:
        means["supervised_tokens"] = declared.supervised_tokens
        found.known["supervised_tokens"] = "declared"
    else:
        found.known["supervised_tokens"] = "unknown"
    if modality == "video":
        means["duration_s"] = length
    return means


def _taken(spec: Spec, name: str, strata: list[Stratum]) -> list[Stratum]:
    """Return the strata with the component's `take` divided among them."""
    take = spec.components[name].take
    if take is None or not strata:
        return strata
    flexible = spec.components[name].flexible
    available = sum(s.available for s in strata)
    count = take.count(available)
    if count > available * spec.epochs(name):
        raise UsageError(
            f"components.{name}.take is {count:,} samples; {available:,} are available and each "
            f"may be used {spec.epochs(name)} times; take fewer or raise epochs"
        )
    shares = [count * s.available / available for s in strata]
    whole = [math.floor(s) for s in shares]
    order = sorted(range(len(strata)), key=lambda i: (whole[i] - shares[i], i))
    for i in order[: count - sum(whole)]:
        whole[i] += 1
    return [
        Stratum(
            component=s.component,
            tags=s.tags,
            available=s.available,
            limit=n if flexible else s.limit,
            fixed=None if flexible else n,
            means=s.means,
        )
        for s, n in zip(strata, whole, strict=True)
    ]
