"""Worked sums: arithmetic problems of one step with numbers up to 18, for ablations.

Subset reasoned has the reasoning before the answer (declared chain of thought), subset plain the
answer alone. Both, and the held-out plain ones, come from one distribution.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from smolmix.pipelines.corpora.demo.questions import with_reasoning
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Sample

ROWS = {"reasoned": 5_000, "plain": 5_000, "heldout": 600}
_PEOPLE = "Ada Ben Chen Dina Emeka Fay Goran Hana Ivo Juno Kofi Lena Milo Nora Omar Pia"
_GOODS = (
    "apples books boxes bricks cards coins cups eggs keys leaves lemons marbles pears pencils plums"
    " shells stamps stones tickets toys"
)

_NAMES, _THINGS = _PEOPLE.split(), _GOODS.split()
_PLACES = ("at school", "at home", "in a bag", "in the garden", "in the kitchen", "on a shelf")
_MORE = (  # first number, second number, name, things, place -> the question
    "{name} has {a} {things} {place} and finds {b} more. How many {things} are there now?",
    "There are {a} {things} {place}. {name} brings {b}. How many {things} are there now?",
    "{name} counts {a} {things} {place}, then gets {b}. How many {things} does {name} have?",
)
_LESS = (
    "{name} has {a} {things} {place} and gives {b} away. How many {things} are left?",
    "There are {a} {things} {place}. {name} takes {b}. How many {things} are left?",
    "{name} counts {a} {things} {place}, then loses {b}. How many {things} remain?",
)


def _problem(chance: random.Random) -> dict[str, str]:
    b, other = chance.randint(1, 9), chance.randint(1, 9)
    kind = chance.choice(("add", "subtract"))
    a, answer = (other, other + b) if kind == "add" else (other + b, other)
    question = chance.choice(_MORE if kind == "add" else _LESS).format(
        a=a,
        b=b,
        name=chance.choice(_NAMES),
        things=chance.choice(_THINGS),
        place=chance.choice(_PLACES),
    )
    sign, verb = ("+", "add") if kind == "add" else ("-", "subtract")
    return {
        "question": question,
        "reasoning": f"We start with {a} and {verb} {b}: {a} {sign} {b} = {answer}.",
        "answer": str(answer),
        "kind": kind,
    }


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    chance = random.Random("worked-sums 1")
    seen: set[str] = set()
    for name, count in ROWS.items():
        lines: list[str] = []
        while len(lines) < count:
            row = _problem(chance)
            if row["question"] in seen:
                continue
            seen.add(row["question"])
            if name != "reasoned":
                del row["reasoning"]
            lines.append(json.dumps(row))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    return with_reasoning(row, tags={"question": row.text("kind")})


SOURCE = Source(
    id="worked-sums",
    title="Worked sums: one step, small numbers, with and without reasoning",
    role="demo",
    modality="text",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="worked-sums", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    subset_of=r"(reasoned|plain|heldout)\.jsonl",
    heldout=r"heldout\.jsonl",
    rows=sum(ROWS.values()),
    subsets=(
        Subset(name="reasoned", rows=ROWS["reasoned"], note="CoT, declared"),
        Subset(name="plain", rows=ROWS["plain"]),
        Subset(name="heldout", rows=ROWS["heldout"], note="plain, for evaluation only"),
    ),
)
