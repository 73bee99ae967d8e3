"""The text corpora of the released SmolVLM2 mixture: four configs of LLaVA-OneVision-Data.

Licence: Apache-2.0 tag; terms of Llama-3 or Qwen2 apply to answers. Quirks: `image` is empty in
every row, typed null or image, and is not read.
Source: the card of lmms-lab/LLaVA-OneVision-Data.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import messages_of
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    yield row.sample(
        key=row.values.get("id"),
        turns=turns_of(*messages_of(row, row.list("conversations"))),
        category="math" if row.corpus == "ov-mathqa" else "instruction",
    )


def _source(name: str, config: str, rows: int) -> Source:
    return Source(
        id=name,
        title=f"LLaVA-OneVision-Data: {config}",
        role="text-sft",
        modality="text",
        licence="Apache-2.0 (repository tag; answers by Llama-3 or Qwen2: their terms apply)",
        origin=Hub(repo="lmms-lab/LLaVA-OneVision-Data"),
        # `image` is empty in every row, typed null or image; it is not read.
        format=Parquet(columns=("conversations",), optional=("id",)),
        adapt=_adapt,
        version=2,
        rows_in=(f"{config}/*.parquet",),
        rows=rows,
        warnings=("The first 5 or 10 rows of the original are missing upstream.",),
    )


SOURCES = (
    _source("ov-magpie-l3-mt", "magpie_pro(l3_80b_mt)", 299_988),
    _source("ov-magpie-l3-st", "magpie_pro(l3_80b_st)", 299_990),
    _source("ov-magpie-qwen2-st", "magpie_pro(qwen2_72b_st)", 299_982),
    _source("ov-mathqa", "mathqa", 29_827),
)
