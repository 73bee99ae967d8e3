"""Evaluation benchmarks, to decontaminate training data: they can be fetched but never mixed.

Hub ids and columns could not be verified, so the adapter accepts several names for each column.
Videos are not fetched: decontamination needs the questions, and images if a benchmark has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample, turns_of

_QUESTIONS = ("question", "query", "Question")
_ANSWERS = ("answer", "answers", "label", "Answer", "response")
_IMAGES = ("image", "decoded_image", *(f"image_{n}" for n in range(1, 8)))
_NOT_PUBLISHED = "(answer not published)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Adapts a benchmark's question, its images and its answer, whatever their columns."""

    def __call__(self, row: Row) -> Iterator[Sample]:
        """Yield the row's one sample, held out."""
        question = next((q for n in _QUESTIONS if isinstance(q := row.values.get(n), str)), "")
        if not question.strip():
            raise RowError("text-empty", "no question")
        media = [row.cell(n) for n in _IMAGES if isinstance(row.values.get(n), dict)]
        yield row.sample(
            key=next((row.values[n] for n in ("id", "question_id", "pid") if n in row.values), ""),
            turns=turns_of(
                ("user", [*range(len(media)), question.strip()]),
                ("assistant", _answer(row)),
            ),
            media=media,
            category="benchmark",
        )


def _answer(row: Row) -> str:
    value = next((v for n in _ANSWERS if (v := row.values.get(n)) is not None), "")
    if isinstance(value, list):
        value = next(iter(value), "")
    return str(value).strip() or _NOT_PUBLISHED


def _source(name: str, title: str, repo: str, modality: str, *, jsons: bool = False) -> Source:
    keys = ("id", "question_id", "pid")
    return Source(
        id=name,
        title=title,
        role="benchmark",
        modality=modality,
        licence="not established",
        origin=Hub(repo=repo),
        format=JsonArray()
        if jsons
        else Parquet(columns=(), optional=(*_QUESTIONS, *_ANSWERS, *_IMAGES, *keys)),
        adapt=Benchmark(),
        rows_in=("*.json",) if jsons else ("*.parquet",),
        verified=False,
        unverified="hub id, file format and columns",
        warnings=("For decontamination only: it can never be mixed.",),
    )


SOURCES = (
    _source("mmmu", "MMMU", "MMMU/MMMU", "image"),
    _source("mathvista", "MathVista", "AI4Math/MathVista", "image"),
    _source("mmstar", "MMStar", "Lin-Chen/MMStar", "image"),
    _source("docvqa", "DocVQA", "lmms-lab/DocVQA", "image"),
    _source("textvqa", "TextVQA", "lmms-lab/textvqa", "image"),
    _source("ai2d", "AI2D", "lmms-lab/ai2d", "image"),
    _source("scienceqa", "ScienceQA", "derek-thomas/ScienceQA", "image"),
    _source("chartqa", "ChartQA", "HuggingFaceM4/ChartQA", "image"),
    _source("ocrbench", "OCRBench", "echo840/OCRBench", "image"),
    _source("video-mme", "Video-MME", "lmms-lab/Video-MME", "video"),
    _source("mlvu", "MLVU", "MLVU/MVLU", "video", jsons=True),
    _source("mvbench", "MVBench", "OpenGVLab/MVBench", "video", jsons=True),
    _source("tempcompass", "TempCompass", "lmms-lab/TempCompass", "video"),
    _source("worldsense", "WorldSense", "honglyhly/WorldSense", "video"),
)
