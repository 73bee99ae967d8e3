"""Totals of a built mixture by any tag, as build and diff print them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smolmix.mixtures.selection.lock import Lock, StratumLock


@dataclass(slots=True, kw_only=True)
class Totals:
    """The sums over a group of strata."""

    available: int = 0
    drawn: int = 0  # samples, each copy counted
    tokens: float = 0.0
    duration_s: float = 0.0

    def add(self, stratum: StratumLock) -> None:
        """Count one stratum in."""
        self.available += stratum.available
        self.drawn += stratum.drawn
        self.tokens += stratum.totals.get("tokens", 0.0)
        self.duration_s += stratum.totals.get("duration_s", 0.0)


def by_family(solution: Iterable[StratumLock], family: str) -> dict[str, Totals]:
    """Return the totals of each value of a tag; family `component` is the component."""
    groups: dict[str, Totals] = {}
    for stratum in solution:
        value = stratum.component if family == "component" else stratum.tags.get(family, "")
        groups.setdefault(value, Totals()).add(stratum)
    return dict(sorted(groups.items()))


def total_of(solution: Iterable[StratumLock]) -> Totals:
    """Return the totals of all strata."""
    total = Totals()
    for stratum in solution:
        total.add(stratum)
    return total


def cot_shares(solution: Sequence[StratumLock]) -> dict[str, float]:
    """Return the share of samples with declared and with detected chain of thought."""
    drawn = max(total_of(solution).drawn, 1)
    groups = by_family(solution, "cot")
    return {k: groups[k].drawn / drawn if k in groups else 0.0 for k in ("declared", "detected")}


def mean_duration_s(solution: Iterable[StratumLock]) -> float | None:
    """Return the mean length of the mixture's videos, or None without videos."""
    video = by_family(solution, "modality").get("video", Totals())
    return video.duration_s / video.drawn if video.drawn else None


def shares(solution: Sequence[StratumLock], family: str) -> dict[str, tuple[float, float]]:
    """Return each value's share of samples and of tokens."""
    total = total_of(solution)
    return {
        value: (g.drawn / max(total.drawn, 1), g.tokens / max(total.tokens, 1.0))
        for value, g in by_family(solution, family).items()
    }


def facts(lock: Lock) -> Mapping[str, object]:
    """Return a built mixture as plain values, for `--json`."""
    total = total_of(lock.solution)
    return {
        "name": lock.name,
        "samples": lock.samples,
        "tokens": round(total.tokens),
        "profile": lock.profile,
        "modality": {
            k: {"samples": round(a, 6), "tokens": round(b, 6)}
            for k, (a, b) in shares(lock.solution, "modality").items()
        },
        "components": {
            k: {
                "available": lock.available.get(k, g.available),
                "samples": g.drawn,
                "tokens": round(g.tokens),
            }
            for k, g in by_family(lock.solution, "component").items()
        },
        "cot": cot_shares(lock.solution),
        "cot_caps": {k: v for k, v in lock.achieved.items() if k.startswith("caps.cot")},
        "mean_duration_s": mean_duration_s(lock.solution),
        "licences": dict(lock.licences),
        "excluded": dict(lock.excluded),
        "unpublished": dict(lock.unpublished),
        "not_fetched": dict(lock.not_fetched),
        "selection": lock.selection,
    }


def lines(lock: Lock) -> list[str]:
    """Return a built mixture as a few lines for a person."""
    total = total_of(lock.solution)
    out = [
        f"{lock.name}: {lock.samples:,} samples, {total.tokens:,.0f} tokens ({lock.profile})",
        f"{'component':34} {'available':>10} {'used':>10} {'samples':>8} {'tokens':>8}",
    ]
    for name, group in by_family(lock.solution, "component").items():
        share = f"{100 * group.drawn / max(lock.samples, 1):.2f} %"
        tokens = f"{100 * group.tokens / max(total.tokens, 1.0):.2f} %"
        available = lock.available.get(name, group.available)
        out.append(f"{name:34} {available:10,} {group.drawn:10,} {share:>8} {tokens:>8}")
    for family in ("modality",):
        parts = [
            f"{k} {100 * a:.2f} % ({100 * b:.2f} % of tokens)"
            for k, (a, b) in shares(lock.solution, family).items()
        ]
        out.append(f"{family}: {', '.join(parts)}")
    out.append(cot_line(lock))
    mean = mean_duration_s(lock.solution)
    if mean is not None:
        out.append(f"video: mean {mean:.1f} s")
    if lock.excluded:
        out.append(f"excluded: {', '.join(f'{k} {v:,}' for k, v in lock.excluded.items())}")
    out.extend(f"unpublished: {k}: {v}" for k, v in lock.unpublished.items())
    if lock.not_fetched:
        count = sum(lock.not_fetched.values())
        out.append(
            f"not fetched: media of {count:,} selected samples, whose costs are assumed; "
            f"{lock.fetch_steps()}"
        )
    return out


def cot_line(lock: Lock) -> str:
    """Return both kinds of chain of thought next to their caps."""
    groups, shares = by_family(lock.solution, "cot"), cot_shares(lock.solution)
    caps = lock.spec.get("caps", {})
    parts = []
    for kind, key in (("declared", "cot"), ("detected", "cot_detected")):
        group = groups.get(kind, Totals())
        cap = caps.get(key)
        cap = cap.get("max") if isinstance(cap, dict) else cap
        limit = f"cap {cap}" if cap is not None else "no cap"
        parts.append(
            f"{kind} {group.drawn:,} of {group.available:,} ({100 * shares[kind]:.4f} %, {limit})"
        )
    return f"chain of thought: {'; '.join(parts)}"
