"""Short arithmetic word problems, half of them with the reasoning written out (declared CoT)."""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.word_problems import COUNT, write
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source, Subset
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    answer = row.text("answer")
    reasoning = row.text("reasoning", required=False)
    yield row.sample(
        turns=turns_of(
            ("user", row.text("question")),
            ("assistant", f"{reasoning} The answer is {answer}." if reasoning else answer),
        ),
        category="math",
        cot="declared" if reasoning else "none",
        cot_evidence="field reasoning" if reasoning else "",
    )


SOURCE = Source(
    id="word-problems",
    title="Arithmetic word problems, with and without reasoning",
    role="demo",
    modality="text",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="word-problems", revision=lambda: "1", write=write),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    subset_of=r"(reasoned|plain)\.jsonl",
    rows=COUNT,
    subsets=(
        Subset(name="plain", rows=COUNT // 2),
        Subset(name="reasoned", rows=COUNT // 2, note="CoT, declared"),
    ),
)
