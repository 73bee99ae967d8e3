"""Totals of a mixture by any tag: what plan, build and diff print."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smolmix.mixtures.selection.lock import Lock, StratumLock


@dataclass(slots=True, kw_only=True)
class Totals:
    """What a group of strata adds up to."""

    available: int = 0
    draws: int = 0
    tokens: float = 0.0
    duration_s: float = 0.0

    def add(self, stratum: StratumLock) -> None:
        """Count one stratum in."""
        self.available += stratum.available
        self.draws += stratum.draws
        self.tokens += stratum.totals.get("tokens", 0.0)
        self.duration_s += stratum.totals.get("duration_s", 0.0)


def by_family(solution: Iterable[StratumLock], family: str) -> dict[str, Totals]:
    """Return the totals of each value of a tag; family `component` is the component."""
    groups: dict[str, Totals] = {}
    for stratum in solution:
        value = stratum.component if family == "component" else stratum.tags.get(family, "")
        groups.setdefault(value, Totals()).add(stratum)
    return dict(sorted(groups.items()))


def whole(solution: Iterable[StratumLock]) -> Totals:
    """Return the totals of all strata."""
    total = Totals()
    for stratum in solution:
        total.add(stratum)
    return total


def cot_shares(solution: Sequence[StratumLock]) -> dict[str, float]:
    """Return the share of samples with declared and with detected chain of thought."""
    draws = max(whole(solution).draws, 1)
    groups = by_family(solution, "cot")
    return {k: groups[k].draws / draws if k in groups else 0.0 for k in ("declared", "detected")}


def mean_duration_s(solution: Iterable[StratumLock]) -> float | None:
    """Return the mean length of the mixture's videos, or None where there are none."""
    video = by_family(solution, "modality").get("video", Totals())
    return video.duration_s / video.draws if video.draws else None


def shares(solution: Sequence[StratumLock], family: str) -> dict[str, tuple[float, float]]:
    """Return each value's share of samples and of tokens."""
    total = whole(solution)
    return {
        value: (g.draws / max(total.draws, 1), g.tokens / max(total.tokens, 1.0))
        for value, g in by_family(solution, family).items()
    }


def facts(lock: Lock) -> Mapping[str, object]:
    """Return a built mixture as plain values, for `--json`."""
    total = whole(lock.solution)
    return {
        "name": lock.name,
        "samples": lock.draws,
        "tokens": round(total.tokens),
        "profile": lock.profile,
        "modality": {
            k: {"samples": round(a, 6), "tokens": round(b, 6)}
            for k, (a, b) in shares(lock.solution, "modality").items()
        },
        "components": {
            k: {
                "available": lock.there.get(k, g.available),
                "samples": g.draws,
                "tokens": round(g.tokens),
            }
            for k, g in by_family(lock.solution, "component").items()
        },
        "cot": cot_shares(lock.solution),
        "cot_caps": {k: v for k, v in lock.reached.items() if k.startswith("caps.cot")},
        "mean_duration_s": mean_duration_s(lock.solution),
        "licences": dict(lock.licences),
        "left_out": dict(lock.left_out),
        "unpublished": dict(lock.unpublished),
        "assumed": dict(lock.assumed),
        "picks": lock.picks,
    }


def lines(lock: Lock) -> list[str]:
    """Return a built mixture as a few lines for a person."""
    total = whole(lock.solution)
    out = [
        f"{lock.name}: {lock.draws:,} samples, {total.tokens:,.0f} tokens ({lock.profile})",
        f"{'component':34} {'there':>10} {'used':>10} {'samples':>8} {'tokens':>8}",
    ]
    for name, group in by_family(lock.solution, "component").items():
        share = f"{100 * group.draws / max(lock.draws, 1):.2f} %"
        tokens = f"{100 * group.tokens / max(total.tokens, 1.0):.2f} %"
        there = lock.there.get(name, group.available)
        out.append(f"{name:34} {there:10,} {group.draws:10,} {share:>8} {tokens:>8}")
    for family in ("modality",):
        said = [
            f"{k} {100 * a:.2f} % ({100 * b:.2f} % of tokens)"
            for k, (a, b) in shares(lock.solution, family).items()
        ]
        out.append(f"{family}: {', '.join(said)}")
    out.append(cot_line(lock))
    mean = mean_duration_s(lock.solution)
    if mean is not None:
        out.append(f"video: mean {mean:.1f} s")
    if lock.left_out:
        left = ", ".join(f"{k} {v:,}" for k, v in lock.left_out.items())
        out.append(f"left out: {left}")
    out.extend(f"unpublished: {k}: {v}" for k, v in lock.unpublished.items())
    if lock.assumed:
        count = sum(lock.assumed.values())
        out.append(
            f"assumed: what the media of {count:,} picks cost; they are not fetched: "
            f"{next_step(lock)}"
        )
    return out


def next_step(lock: Lock) -> str:
    """Return what makes a mixture whole whose picks' media are not fetched."""
    corpora = " ".join(sorted(lock.assumed))
    return (
        f"run `smolmix fetch {corpora} --for {lock.name}`, then `smolmix curate {corpora}` and "
        f"`smolmix mix build {lock.spec_file}`"
    )


def cot_line(lock: Lock) -> str:
    """Return both kinds of chain of thought beside their caps."""
    found = cot_shares(lock.solution)
    caps = lock.spec.get("caps", {})
    said = []
    for kind, key in (("declared", "cot"), ("detected", "cot_detected")):
        count = sum(s.draws for s in lock.solution if s.tags.get("cot") == kind)
        there = sum(s.available for s in lock.solution if s.tags.get("cot") == kind)
        cap = caps.get(key)
        cap = cap.get("max") if isinstance(cap, dict) else cap
        limit = f"cap {cap}" if cap is not None else "no cap"
        said.append(f"{kind} {count:,} of {there:,} ({100 * found[kind]:.4f} %, {limit})")
    return f"chain of thought: {'; '.join(said)}"
