"""MAmmoTH-VL-Instruct-12M, and the same rows as the paper's source of chain of thought.

Licence: Apache-2.0. Quirks: two JSON arrays of 21.8 and 4.05 GB, next to gzipped tars of media that
`load_dataset` takes for 37 million files without text; a path may be in any of three folders.
Source: the card of MAmmoTH-VL/MAmmoTH-VL-Instruct-12M.
"""

from collections.abc import Iterator
from dataclasses import replace

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.sources.chat import ANY, messages_of, turns_with_media
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Cot, Media, MediaKind, Sample

_FOLDERS = {
    "si": ("single_image_data", "multi_image_data", "video_data"),
    "ov": ("multi_image_data", "video_data", "single_image_data"),
}


def _media(row: Row) -> list[Media]:
    kind: MediaKind = "video" if row.values.get("video") else "image"
    named = row.values.get(kind) or []
    paths = named if isinstance(named, list) else [named]
    if not all(isinstance(path, str) for path in paths):
        raise RowError("field-type", f"{kind}: {paths!r}")
    folders = _FOLDERS.get(row.subset, _FOLDERS["si"])
    return [row.find(*(f"{f}/{path}" for f in folders), path, kind=kind) for path in paths]


def _sample(row: Row, cot: Cot, evidence: str) -> Iterator[Sample]:
    media = _media(row)
    source = row.values.get("source")
    yield row.sample(
        key=row.values.get("id"),
        turns=turns_with_media(
            messages_of(row, row.list("conversations")), len(media), placeholders=ANY
        ),
        media=media,
        category="reasoning",
        cot=cot,
        cot_evidence=evidence,
        tags={"source": source} if isinstance(source, str) else {},
    )


def _adapt(row: Row) -> Iterator[Sample]:
    return _sample(row, "none", "")


def _adapt_cot(row: Row) -> Iterator[Sample]:
    return _sample(row, "declared", "the paper's CoT corpus")


_MAMMOTH = Source(
    id="mammoth-vl-12m",
    title="MAmmoTH-VL-Instruct-12M",
    role="multi-image",
    modality="multi-image",
    licence="Apache-2.0",
    origin=Hub(repo="MAmmoTH-VL/MAmmoTH-VL-Instruct-12M"),
    format=JsonArray(),
    adapt=_adapt,
    version=2,
    rows_in=("mammoth_si_10M.json", "mammoth_ov_2M.json"),
    media_in=tuple(f"{folder}/*.tar.gz" for folder in _FOLDERS["si"]),
    subset_of=r"mammoth_(si|ov)_",
    rows=12_000_000,
    subsets=(Subset(name="si", rows=10_000_000), Subset(name="ov", rows=2_000_000)),
    unverified="the text-only share, the mark used in video rows, total bytes",
    warnings=(
        "Repeats much of LLaVA-OneVision and M4-Instruct: deduplicate across corpora.",
        "Answers are rationales rewritten by models: many are chain of thought.",
    ),
)
_COT = replace(
    _MAMMOTH,
    id="cot-mammoth",
    title="MAmmoTH-VL as the paper's chain of thought",
    role="cot",
    modality="image",
    adapt=_adapt_cot,
    rows=None,
    verified=False,
    unverified="which MAmmoTH the paper means (Yue et al., 2024b), and which of its rows",
    warnings=("The same files as mammoth-vl-12m: take a small part, with --limit.",),
)
SOURCES = (_MAMMOTH, _COT)
