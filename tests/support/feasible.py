"""Random mixtures that are known to be feasible: a point is drawn first, the spec around it.

The point says how many samples each stratum gives. Every share, cap, mean and total of the spec
holds at that point, so a solver that refuses the spec is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.support.synthetic import pool_of

from smolmix.mixtures.candidates.grouping import stratify
from smolmix.mixtures.candidates.strata import Candidates
from smolmix.mixtures.solve.order import CapsDoNotFitError, place_capped
from smolmix.mixtures.spec.load import parse_spec

MODALITIES = ("image", "multi-image", "text", "video")
Columns = dict[str, dict[str, Any]]
UNITS = ("samples", "tokens", "text_tokens")
_KINDS = ("none", "declared", "detected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasible:
    """A spec, its candidates' columns, and a point that meets the spec."""

    raw: dict[str, Any]
    columns: Columns
    point: tuple[int, ...]  # samples of each stratum


@st.composite
def corpora(draw: st.DrawFn) -> Columns:
    """Draw one to five corpora of one modality each, with and without chain of thought."""
    columns: Columns = {}
    for i in range(draw(st.integers(1, 5))):
        rows = draw(st.integers(1, 120))
        rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
        modality = draw(st.sampled_from(MODALITIES))
        some = rng.choice(_KINDS, rows, p=[0.8, 0.1, 0.1]).tolist()
        columns[f"c{i}"] = {
            "rows": rows,
            "modality": modality,
            "cot": some if draw(st.booleans()) else "none",
            "text_tokens": rng.integers(1, draw(st.sampled_from([50, 1000])), rows).tolist(),
            "duration_s": rng.uniform(1, 600, rows).tolist() if modality == "video" else 0.0,
        }
    return columns


def _point(draw: st.DrawFn, candidates: Candidates) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Draw how many samples each stratum gives; at least one in all."""
    point = [
        s.fixed if s.fixed is not None else draw(st.integers(0, s.limit)) for s in candidates.strata
    ]
    if sum(point) == 0:
        free = next(i for i, s in enumerate(candidates.strata) if s.fixed is None)
        point[free] = 1
    return np.array(point, np.int64)


def _bounds(draw: st.DrawFn, value: float) -> Any:
    """Draw bounds that the value is within."""
    kind = draw(st.sampled_from(["fixed", "min", "max", "range"]))
    low = round(max(0.0, value - draw(st.floats(0.001, 0.3))), 4)
    high = round(min(1.0, value + draw(st.floats(0.001, 0.3))), 4)
    return {
        "fixed": value,
        "min": {"min": low},
        "max": {"max": high},
        "range": {"min": low, "max": high},
    }[kind]


def _caps(
    draw: st.DrawFn, candidates: Candidates, point: np.ndarray[Any, Any]
) -> Mapping[str, float]:
    """Draw caps under which the point's samples have an order."""
    total = int(point.sum())
    counts = [int(point[candidates.members("cot", k)].sum()) for k in ("declared", "detected")]
    caps = [draw(st.sampled_from([1.0, 0.5, 0.2, 0.05, 0.01])) for _ in counts]
    caps = [max(c, min(1.0, k / total + 1e-9)) for c, k in zip(caps, counts, strict=True)]
    tight = [i for i, c in enumerate(caps) if c < 1]
    while tight:
        try:
            place_capped([counts[i] for i in tight], [caps[i] for i in tight], total)
        except CapsDoNotFitError:
            caps = [min(1.0, c + 0.01) for c in caps]
        else:
            break
    return {"cot": caps[0], "cot_detected": caps[1]}


@st.composite
def feasible(draw: st.DrawFn, units: Sequence[str] = UNITS) -> Feasible:
    """Draw a feasible mixture whose shares are of one of these units."""
    columns = draw(corpora())
    unit = draw(st.sampled_from(units))
    raw: dict[str, Any] = {
        "name": "t",
        "seed": draw(st.integers(0, 5)),
        "unit": unit,
        "components": {name: {"corpus": name} for name in columns},
        "caps": {"epochs": draw(st.integers(1, 3))},
    }
    for name in columns:
        if draw(st.integers(0, 5)) == 0:
            raw["components"][name]["take"] = draw(st.sampled_from(["all", "37.5%"]))
    modalities = sorted({c["modality"] for c in columns.values()})
    if "video" in modalities and draw(st.booleans()):
        raw["caps"]["duration_s"] = {"mean": 1}  # so that strata have length buckets
    spec = parse_spec(raw, "t.yaml").spec
    candidates, _ = stratify(spec, pool_of(spec, columns), "t.yaml")
    point = _point(draw, candidates)
    raw["caps"] |= _caps(draw, candidates, point)
    sums = candidates.total(unit, point)
    if len(modalities) > 1 and draw(st.booleans()):
        raw["shares"] = {
            "modality": {
                m: _bounds(draw, float(sums[candidates.members("modality", m)].sum() / sums.sum()))
                for m in modalities[:-1]
            }
        }
    if "duration_s" in raw["caps"]:
        videos = candidates.members("modality", "video")
        count = int(point[videos].sum())
        seconds = float(candidates.total("duration_s", point)[videos].sum())
        if count:
            raw["caps"]["duration_s"] = {"mean": seconds / count, "within": 20}
        else:
            del raw["caps"]["duration_s"]
    raw["total"] = draw(
        st.sampled_from(
            [
                "max",
                {"samples": int(point.sum())},
                {"tokens": int(candidates.total("tokens", point).sum())},
            ]
        )
    )
    return Feasible(raw=raw, columns=columns, point=tuple(int(n) for n in point))
