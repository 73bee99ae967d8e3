"""A plan as one screen of text."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from smolmix.mixtures.candidates.estimates import Estimate
from smolmix.mixtures.plan.plan import Plan
from smolmix.mixtures.plan.report import Line

_TOP = 12  # components shown unless all are wanted


def _bytes(estimate: Estimate) -> str:
    if estimate.value is None:
        return "?"
    size, unit = estimate.value, "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    text = f"{size:.3g} {unit}"
    return (
        f"{text} ({estimate.source})"
        if estimate.known == "unknown"
        else f"{text} ({estimate.known})"
    )


def _share(share: float) -> str:
    return f"{100 * share:.2f} %"


def _with_source(estimate: Estimate, scale: float = 1.0, unit: str = "") -> str:
    if estimate.value is None:
        return f"unknown ({estimate.source})" if estimate.source else "unknown"
    value = estimate.value / scale
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    known = f"{estimate.known}; {estimate.source}" if estimate.source else estimate.known
    return f"{text}{unit} ({known})"


def _pairs(shares: Mapping[str, tuple[float, float]]) -> str:
    return ", ".join(
        f"{name or '(none)'} {_share(a)} ({_share(b)} of tokens)" for name, (a, b) in shares.items()
    )


def _row(line: Line) -> str:
    seconds = line.video_s.value
    count = line.samples.value or 0
    mean = f"{seconds / count:,.0f} s" if line.modality == "video" and seconds and count else ""
    name = _fitted(line.component, 44)
    return (
        f"{name:44} {line.modality:11} {line.available!s:>11} {line.samples!s:>11} "
        f"{_share(line.share):>8} {_share(line.token_share):>8} {line.epochs:6.2f} {mean:>7}"
    )


def _components(plan: Plan, everything: bool) -> Iterable[str]:
    ranked = sorted(plan.lines, key=lambda x: -(x.samples.value or 0))
    shown = ranked if everything else ranked[:_TOP]
    yield (
        f"{'component':44} {'modality':11} {'available':>11} {'used':>11} {'samples':>8} "
        f"{'tokens':>8} {'epochs':>6} {'mean':>7}"
    )
    yield from map(_row, shown)
    if len(ranked) > len(shown):
        rest = ranked[len(shown) :]
        count = sum(x.samples.value or 0 for x in rest)
        yield f"... and {len(rest)} more with {count:,.0f} samples (--all shows them)"


def _video(plan: Plan) -> Iterable[str]:
    if plan.video_s.value is None and plan.mean_video_s.value is None:
        return
    if plan.video_s.value == 0:
        return
    yield (
        f"video: {_with_source(plan.video_s, 3600, ' hours')}; mean "
        f"{_with_source(plan.mean_video_s, 60, ' minutes')}"
    )
    if plan.buckets:
        total = max(sum(plan.buckets.values()), 1)
        parts = [f"{k} {100 * v / total:.1f} %" for k, v in plan.buckets.items() if v]
        yield f"  lengths: {', '.join(parts)}"
        long = sorted(
            (
                x
                for x in plan.lines
                if x.modality == "video" and x.samples.value and x.video_s.value
            ),
            key=lambda x: -((x.video_s.value or 0) / (x.samples.value or 1)),
        )
        parts = [
            f"{x.component} {x.samples.value:,.0f} of {x.available} at "
            f"{(x.video_s.value or 0) / (x.samples.value or 1):,.0f} s"
            for x in long[:5]
        ]
        yield f"  the longest come from: {'; '.join(parts)}"


def _why(plan: Plan) -> Iterable[str]:
    if plan.binding:
        yield f"binding constraints: {', '.join(plan.binding)}"
    if plan.shadow_prices:
        parts = [f"{name} +{gain:,.3g}" for name, gain in list(plan.shadow_prices.items())[:6]]
        yield (
            f"  shadow prices, in {plan.unit} per further sample of an exhausted component: "
            f"{', '.join(parts)}"
        )


def _cot(plan: Plan) -> str:
    parts = []
    for kind, estimate in plan.cot.items():
        cap = f"cap {_share(plan.cot_caps[kind])}" if kind in plan.cot_caps else "no cap"
        share = "unknown" if estimate.value is None else f"{100 * estimate.value:.4f} %"
        why = estimate.known if estimate.value is not None else estimate.source
        parts.append(f"{kind} {share} ({why}; {cap})")
    return f"chain of thought: {'; '.join(parts)}"


def _constraints(plan: Plan) -> Iterable[str]:
    for one in plan.achieved:
        if one.kind == "total":
            continue
        if one.kind == "mean":
            yield f"  {one.key}: {one.value:.4g} s, target {one.low:.4g} to {one.high:.4g} s"
        else:
            target = (
                _share(one.low)
                if one.low == one.high
                else f"{_share(one.low)} to {_share(one.high)}"
            )
            yield f"  {one.key}: {100 * one.value:.4f} %, target {target} of {one.unit}"


def _licences(plan: Plan, everything: bool) -> Iterable[str]:
    """Yield the samples under each licence: in full, or those of one name together."""
    if everything:
        yield "licences:"
        ranked = sorted(plan.licences.items(), key=lambda kv: -kv[1])
        yield from (f"  {count:>11,}  {licence}" for licence, count in ranked if count)
        return
    known: Counter[str] = Counter()
    for licence, count in plan.licences.items():
        name = re.split(r" \(|, ", licence, maxsplit=1)[0]
        known[name if name == licence else f"{name} with conditions"] += count
    parts = [f"{name} {count:,}" for name, count in known.most_common() if count]
    conditions = any(name.endswith(" with conditions") for name in known)
    yield f"licences: {'; '.join(parts)}{' (--all shows them)' if conditions else ''}"


def _fitted(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def screen(plan: Plan, *, everything: bool = False) -> list[str]:
    """Return the plan as lines for a person.

    Args:
        plan: what was planned.
        everything: every component, licence and warning.
    """
    out = [
        f"{plan.name} ({plan.profile}): {_with_source(plan.samples)} samples, "
        f"{_with_source(plan.tokens)} tokens",
        f"modality: {_pairs(plan.modality)}",
    ]
    out.extend(_components(plan, everything))
    if plan.achieved:
        out.append("constraints:")
        out.extend(_constraints(plan))
    out.append(_cot(plan))
    out.extend(_video(plan))
    out.extend(_why(plan))
    out.append(f"download {_bytes(plan.download_bytes)}; shards {_bytes(plan.shard_bytes)}")
    out.extend(_licences(plan, everything))
    if plan.unpublished:
        out.append(f"never published: {len(plan.unpublished)} components")
        out.extend(f"  {k}: {v}" for k, v in plan.unpublished.items())
    warnings = list(plan.warnings)
    limit = len(warnings) if everything else 3
    out.extend(f"warning: {w}" for w in warnings[:limit])
    if len(warnings) > limit:
        out.append(f"... and {len(warnings) - limit} more warnings (--all shows them)")
    out.append("d declared, a assumed, ? unknown; numbers without a mark are measured")
    return out
