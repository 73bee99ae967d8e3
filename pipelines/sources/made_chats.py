"""Two kinds of short chat with nothing in common: tasks on words (a), and little stories (b)."""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.made_chats import ROWS, write
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source, Subset
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    said = [("assistant" if n % 2 else "user", text) for n, text in enumerate(row.list("chat"))]
    yield row.sample(turns=turns_of(*said), category="text")  # type: ignore[arg-type]


SOURCE = Source(
    id="made-chats",
    title="Made chats: tasks on words (a), little stories (b)",
    role="demo",
    modality="text",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="made-chats", revision=lambda: "1", write=write),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    subset_of=r"([ab])\.jsonl",
    heldout=r"heldout-",
    rows=sum(ROWS.values()),
    subsets=(
        Subset(name="a", rows=ROWS["a"] + ROWS["heldout-a"], note="tasks on words"),
        Subset(name="b", rows=ROWS["b"] + ROWS["heldout-b"], note="little stories"),
    ),
)
