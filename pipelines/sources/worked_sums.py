"""Sums of one step with small numbers, of one distribution, reasoned (declared CoT) or plain."""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.worked_sums import ROWS, write
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
        tags={"question": row.text("kind")},
    )


SOURCE = Source(
    id="worked-sums",
    title="Worked sums: one step, small numbers, with and without reasoning",
    role="demo",
    modality="text",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="worked-sums", revision=lambda: "1", write=write),
    layout=JsonLines(),
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
