"""The Cauldron: 50 vision datasets in one form, questions about one or several images.

Licence: of each sub-dataset. Quirks: the text has no placeholders, so images go before the first
question and `<image>` in it is a word; a full stop after a question or exclamation mark is removed,
as upstream does.
Source: the card of HuggingFaceM4/the_cauldron.
"""

import re
from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import pairs_of, turns_with_media
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample

# Source: facts of LLaVA-OneVision's source files, else the hub viewer (rounded).
_ROWS = """
    chart: chart2text 26961, chartqa 18265, dvqa 200000, figureqa 100000, mapqa 37417,
        plotqa 157000, vistext 9969
    table: finqa 5280, hitab 2500, multihiertt 7619, robut_sqa 8514, robut_wikisql 74989,
        robut_wtq 38246, tabmwp 22722, tat_qa 2200
    document: docvqa 10200, infographic_vqa 2118, visualmrc 3027
    ocr: iam 5663, ocrvqa 166000, rendered_text 10000, st_vqa 17247, textvqa 22000
    caption: diagram_image_to_text 300, localized_narratives 200000, screen2words 15730,
        textcaps 22000
    vqa: aokvqa 16539, cocoqa 46300, hateful_memes 8500, okvqa 9010, tallyqa 98680,
        visual7w 14366, vqarad 313, vqav2 82800, vsr 2157
    reasoning: clevr 70000, clevr_math 70000, iconqa 27307, mimic_cgd 70900, nlvr2 50400,
        raven 42000, spot_the_diff 8570
    math: geomverse 9303, intergps 1280
    science: ai2d 2434, scienceqa 4976, tqa 1490
    code: datikz 48000, websight 10000
"""
_CATEGORIES: dict[str, str] = {}
_SUBSETS: list[Subset] = []
for _category, _names in re.findall(r"(\w+): ([^:]+)(?=\n\s+\w+:|\Z)", _ROWS):
    for _name, _count in re.findall(r"(\w+) (\d+)", _names):
        _CATEGORIES[_name] = _category
        _SUBSETS.append(Subset(name=_name, rows=int(_count)))

# Wrong punctuation that upstream's own mixer corrects.
_PUNCTUATION = re.compile(r"([?!])\.(?=\s|$)")


def mend(text: str) -> str:
    """Return the text without the stray full stop after a question or exclamation mark."""
    return _PUNCTUATION.sub(r"\1", text)


def _adapt(row: Row) -> Iterator[Sample]:
    images = [row.cell("images", at) for at in range(len(row.list("images")))]
    pairs = [(role, mend(text)) for role, text in pairs_of(row, row.list("texts"))]
    turns = turns_with_media(pairs, len(images), placeholders=())
    yield row.sample(turns=turns, media=images, category=_CATEGORIES.get(row.subset, "vqa"))


SOURCE = Source(
    id="the-cauldron",
    title="The Cauldron",
    role="vision",
    modality="image",
    licence="mixed, per sub-dataset",
    origin=Hub(repo="HuggingFaceM4/the_cauldron"),
    format=Parquet(columns=("images", "texts")),
    adapt=_adapt,
    version=2,
    rows_in=("*/*.parquet",),
    subset_of=r"^([^/]+)/",
    rows=1_881_292,
    subsets=tuple(sorted(_SUBSETS, key=lambda s: s.name)),
    unverified="licences of the sub-datasets; some row counts are rounded",
    warnings=(
        "Test images were removed by exact MD5 for MMMU, MathVista and MMBench only.",
        "mimic_cgd: questions may refer to images that are not published.",
    ),
)
