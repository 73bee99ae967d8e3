"""LLaVA-CoT-100k: visual questions, answered in four marked steps.

Licence: not established. Quirks: rows name images that are published in split archives whose names
could not be verified; several places are tried.
Source: the card of Xkev/LLaVA-CoT-100k.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.chat import messages_of, turns_with_media
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample


def _adapt(row: Row) -> Iterator[Sample]:
    image = row.values.get("image")
    if not isinstance(image, str) or not image:
        raise RowError("media-missing", "the row names no image")
    turns = turns_with_media(messages_of(row, row.list("conversations")), 1)
    marked = any("<REASONING>" in turn.text for turn in turns)
    yield row.sample(
        key=row.values.get("id"),
        turns=turns,
        media=(row.find(image, f"image/{image}", f"images/{image}"),),
        category="reasoning",
        cot="declared",
        cot_evidence="<REASONING>" if marked else "the whole corpus is chain of thought",
    )


SOURCE = Source(
    id="llava-cot-100k",
    title="LLaVA-CoT-100k",
    role="cot",
    modality="image",
    licence="not established (code Apache-2.0; research preview; answers by GPT-4o)",
    origin=Hub(repo="Xkev/LLaVA-CoT-100k"),
    format=JsonLines(),
    adapt=_adapt,
    version=2,
    rows_in=("train.jsonl",),
    media_in=("*.zip*", "*.tar*", "*.part*"),
    rows=99_000,
    unverified="the `id` column, names of the image archives, the data's licence",
    warnings=(
        "Not named by the SmolVLM paper.",
        "Built on training sets close to ChartQA, AI2D and ScienceQA.",
    ),
)
