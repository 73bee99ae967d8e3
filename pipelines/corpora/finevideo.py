"""FineVideo: videos of 4.7 minutes on average with a description and questions.

Licence: CC-BY of each YouTube original. Quirks: gated; clips are inside the parquet files;
annotations are JSON, as a text or as a struct. A row gives up to two samples: its questions as one
chat, and its description.
Source: the card of HuggingFaceFV/finevideo.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from smolmix.pipelines.formats.format import UnreadableRow
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.formats.text import parse_object
from smolmix.pipelines.sources.prompts import DESCRIBE_VIDEO, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample, Turn, turns_of


def _details(row: Row) -> Mapping[str, Any]:
    value = row.values.get("json")
    if isinstance(value, str):
        found = parse_object(value.encode())
        if isinstance(found, UnreadableRow):
            raise RowError(found.reason, found.detail)
        value = found
    if not isinstance(value, dict):
        raise RowError("field-type", f"json: a {type(value).__name__}")
    return value


def _adapt(row: Row) -> Iterator[Sample]:
    details = _details(row)
    content = details.get("content_metadata")
    content = content if isinstance(content, dict) else {}
    video = row.cell("mp4", kind="video")
    tags = {
        name: value
        for name in ("content_fine_category", "resolution")
        if isinstance(value := details.get(name), str) and value
    }
    turns: list[Turn] = []
    pairs = content.get("qAndA")
    for pair in pairs if isinstance(pairs, list) else []:
        question, answer = (
            pair.get(k) if isinstance(pair, dict) else None for k in ("question", "answer")
        )
        if not isinstance(question, str) or not isinstance(answer, str) or not answer.strip():
            row.drop_turn("answer-empty")
            continue
        asked: list[str | int] = [question.strip()] if turns else [0, question.strip()]
        turns += turns_of(("user", asked), ("assistant", answer.strip()))
    if turns:
        yield row.sample(turns=turns, media=(video,), category="vqa", subset="qa", tags=tags)
    description = content.get("description")
    if isinstance(description, str) and description.strip():
        prompt = pick(DESCRIBE_VIDEO, description)
        yield row.sample(
            turns=turns_of(("user", [0, prompt]), ("assistant", description.strip())),
            media=(video,),
            category="caption",
            subset="description",
            tags=tags,
        )


SOURCE = Source(
    id="finevideo",
    title="FineVideo",
    role="video",
    modality="video",
    licence="CC-BY (YouTube originals; attribution; terms to be passed on)",
    origin=Hub(repo="HuggingFaceFV/finevideo", revision="84c74091e1c6ee7a5dffabfafb5c9033e4718883"),
    format=Parquet(columns=("mp4", "json")),
    adapt=_adapt,
    rows_in=("*.parquet",),
    gated=True,
    rows=43_751,
    subsets=(Subset(name="qa"), Subset(name="description")),
    unverified="types of the youtube_* fields (not read); how SmolVLM2 chose its 685 rows",
    warnings=(
        "Some questions depend on speech, which a silent model cannot hear.",
        "Removals happen: move to the newest usable revision from time to time.",
    ),
)
