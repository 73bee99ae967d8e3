"""LLaVA-OneVision-Data: the image configs, one folder each.

Licence: Apache-2.0 tag; sources vary. Quirks: folder names have brackets and commas; a marker that
LLaVA-NeXT removes when training is removed here too; the category of each config is in
llava_onevision_subsets.csv.
Source: the card of lmms-lab/LLaVA-OneVision-Data.
"""

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import messages_of, turns_with_media, without_noise
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample


@cache
def _categories() -> dict[str, tuple[int, str]]:
    """Return config -> (rows, category); hme100k is handwriting, not hateful memes."""
    table = files("smolmix.pipelines.corpora").joinpath("llava_onevision_subsets.csv")
    rows = csv.DictReader(table.read_text().splitlines())
    return {row["name"]: (int(row["rows"]), row["category"]) for row in rows}


def _adapt(row: Row) -> Iterator[Sample]:
    images = [row.cell("image")] if row.values.get("image") is not None else []
    messages = without_noise(messages_of(row, row.list("conversations")))
    yield row.sample(
        key=row.values.get("id"),
        turns=turns_with_media(messages, len(images)),
        media=images,
        category=_categories().get(row.subset, (0, "vqa"))[1],
    )


SOURCE = Source(
    id="llava-onevision-data",
    title="LLaVA-OneVision-Data: image configs",
    role="vision",
    modality="image",
    licence="Apache-2.0 (repository tag; sources vary, parts by GPT-4: OpenAI terms)",
    origin=Hub(repo="lmms-lab/LLaVA-OneVision-Data"),
    format=Parquet(columns=("conversations",), optional=("id", "image")),
    adapt=_adapt,
    version=2,
    rows_in=("*/*.parquet",),
    rows_not_in=("magpie_pro*/*", "mathqa/*"),
    subset_of=r"^([^/]+)/",
    subsets=tuple(Subset(name=name, rows=rows) for name, (rows, _) in _categories().items()),
    unverified="today's list of configs, and the card's licence text",
    warnings=(
        "tqa(cauldron,llava_format) has exactly as many rows as iconqa(cauldron,llava_format), "
        "18 times The Cauldron's tqa: probably the wrong file was uploaded. Compare before use.",
        "ureader_* configs are marked 'need to re-upload' by the publisher and partly stored in "
        "archives: what is parquet is read, and SmolVLM2 used ureader_cap and ureader_ie.",
        "The text configs are corpora of their own: ov-magpie-* and ov-mathqa.",
    ),
)
