"""SmolTalk: the instruction data of SmolLM2, which the SmolVLM paper found harmful to reuse.

Licence: Apache-2.0; sub-sets keep theirs.
Source: the card of HuggingFaceTB/smoltalk.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import messages_of
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    source = row.values.get("source")
    yield row.sample(
        turns=turns_of(*messages_of(row, row.list("messages"))),
        category="instruction",
        tags={"source": source} if isinstance(source, str) else {},
    )


SOURCE = Source(
    id="smoltalk",
    title="SmolTalk",
    role="text-sft",
    modality="text",
    licence="Apache-2.0 (parts made by HF; sub-sets keep theirs)",
    origin=Hub(repo="HuggingFaceTB/smoltalk"),
    format=Parquet(columns=("messages",), optional=("source",)),
    adapt=_adapt,
    version=2,
    rows_in=("data/all/*.parquet",),
    heldout=r"/test-",
    unverified="row counts, the licence, extra columns of single subsets",
    warnings=(
        "The paper: reusing it in SmolVLM training cost 3.7 points on video and 6.5 on image "
        "benchmarks. It is here to measure that, not to be mixed in.",
    ),
)
