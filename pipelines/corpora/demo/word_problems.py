"""Word problems: 2,000 short arithmetic problems of five kinds.

Subset reasoned: the answer follows the written reasoning (declared chain of thought). Subset plain:
the answer alone.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from smolmix.pipelines.corpora.demo.questions import with_reasoning
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Sample

COUNT = 2_000
_NAMES = ("Ada", "Ben", "Chen", "Dina", "Emeka", "Fay", "Goran", "Hana", "Ivo", "Juno")
_THINGS = ("apples", "books", "coins", "eggs", "marbles", "pencils", "shells", "stamps")

Problem = tuple[str, str, int]  # question, reasoning, answer


def _gains(r: random.Random, name: str, things: str) -> Problem:
    a, b = r.randrange(3, 60), r.randrange(3, 40)
    return (
        f"{name} has {a} {things} and finds {b} more. How many {things} does {name} have now?",
        f"{name} starts with {a} and finds {b}, so we add: {a} + {b} = {a + b}.",
        a + b,
    )


def _gives(r: random.Random, name: str, things: str) -> Problem:
    a = r.randrange(20, 90)
    b = r.randrange(3, a - 5)
    return (
        f"{name} has {a} {things} and gives away {b}. How many {things} are left?",
        f"{name} starts with {a} and gives away {b}, so we subtract: {a} - {b} = {a - b}.",
        a - b,
    )


def _boxes(r: random.Random, name: str, things: str) -> Problem:
    a, b = r.randrange(2, 12), r.randrange(2, 12)
    return (
        f"{name} packs {a} boxes with {b} {things} each. How many {things} is that?",
        f"Each of the {a} boxes holds {b}, so we multiply: {a} × {b} = {a * b}.",
        a * b,
    )


def _shares(r: random.Random, name: str, things: str) -> Problem:
    a, b = r.randrange(2, 10), r.randrange(3, 12)
    return (
        f"{name} shares {a * b} {things} equally among {a} friends. "
        f"How many {things} does each friend get?",
        f"There are {a * b} for {a} friends, so we divide: {a * b} ÷ {a} = {b}.",
        b,
    )


def _two_steps(r: random.Random, name: str, things: str) -> Problem:
    a, b, c = r.randrange(2, 10), r.randrange(2, 10), r.randrange(2, 20)
    return (
        f"{name} buys {a} bags with {b} {things} each and already had {c}. "
        f"How many {things} does {name} have in all?",
        f"The bags hold {a} × {b} = {a * b}. With the {c} from before: "
        f"{a * b} + {c} = {a * b + c}.",
        a * b + c,
    )


_KINDS: tuple[Callable[[random.Random, str, str], Problem], ...] = (
    _gains,
    _gives,
    _boxes,
    _shares,
    _two_steps,
)


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    chance = random.Random("word-problems 1")
    seen: set[str] = set()
    lines: dict[str, list[str]] = {"reasoned": [], "plain": []}
    while len(seen) < COUNT:
        kind = _KINDS[len(seen) % len(_KINDS)]
        question, reasoning, answer = kind(chance, chance.choice(_NAMES), chance.choice(_THINGS))
        if question in seen:
            continue
        subset = ("reasoned", "plain")[len(seen) % 2]
        seen.add(question)
        row = {"question": question, "answer": str(answer)}
        if subset == "reasoned":
            row["reasoning"] = reasoning
        lines[subset].append(json.dumps(row, ensure_ascii=False))
    for subset, rows in lines.items():
        (folder / f"{subset}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")


def _adapt(row: Row) -> Iterator[Sample]:
    return with_reasoning(row)


SOURCE = Source(
    id="word-problems",
    title="Arithmetic word problems, with and without reasoning",
    role="demo",
    modality="text",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="word-problems", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    subset_of=r"(reasoned|plain)\.jsonl",
    rows=COUNT,
    subsets=(
        Subset(name="plain", rows=COUNT // 2),
        Subset(name="reasoned", rows=COUNT // 2, note="CoT, declared"),
    ),
)
