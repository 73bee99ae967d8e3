"""Evaluations as a terminal shows them."""

from typing import Any

_GROUPS = (
    "by_category", "by_subset", "by_modality", "by_kind",
    "by_answer_length", "by_prompt_length", "by_duration",
)  # fmt: skip


def print_scores(result: dict[str, Any]) -> None:
    """Print an evaluation's scores in percent, the first metric whole and in groups."""
    print(f"{result['corpus']}, {result['checkpoint']}: {result['metric']}, %")
    print(
        f"{'':28} {'questions':>9} {'media':>7} {'score':>7} {'(95 %)':15} {'question alone':>14}"
    )
    print(_line("all", result["overall"]))
    for group in _GROUPS:
        if len(result[group]) > 1:
            print(f"  {group.replace('_', ' ')}")
            for name, score in result[group].items():
                print(_line(f"    {name or '(none)'}", score))
    for name, scores in result["metrics"].items():
        if name != result["metric"]:
            print(_line(name, scores["overall"]))
    judge = result.get("judge")
    if judge:
        if judge["overall"]:
            print(_line("judge", judge["overall"]))
        why = ", ".join(f"{n:,} {error}" for error, n in judge["errors"].items())
        print(f"  {judge['name']}: {judge['judged']:,} verdicts, {judge['failed']:,} failed {why}")


def print_comparison(found: dict[str, Any]) -> None:
    """Print a paired comparison, in points of a hundred."""
    print(f"{found['corpus']}: {found['first']} against {found['second']}, the same questions")
    for name, one in found["metrics"].items():
        p = f"sign-flip p {one['sign_flip_p']:.2g}"
        if "mcnemar_p" in one:
            p += f", McNemar p {one['mcnemar_p']:.2g}"
        print(
            f"  {name:18} {100 * one['first']:.1f} - {100 * one['second']:.1f} = "
            f"{100 * one['difference']:+.1f}{_ends(one)}, {p}"
        )
        if "both" in one:
            print(
                f"  {'':18} both right {one['both']:,}, only {found['first']} "
                f"{one['only_first']:,}, only {found['second']} {one['only_second']:,}, "
                f"neither {one['neither']:,}"
            )


def _line(name: str, score: dict[str, Any]) -> str:
    alone = "" if score["baseline"] is None else f"{100 * score['baseline']:.1f}"
    return (
        f"{name:28} {score['questions']:>9,} {score['clusters']:>7,} "
        f"{100 * score['score']:>7.1f} {_ends(score).strip():15} {alone:>14}"
    )


def _ends(score: dict[str, Any]) -> str:
    if score["low"] is None:
        return " (one medium)"
    return f" ({100 * score['low']:.1f} to {100 * score['high']:.1f})"
