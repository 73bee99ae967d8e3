"""Video-STaR (VSTaR-1M): answers with reasoning about clips that are not published with it.

Licence: Apache-2.0 tag, non-commercial research preview. Quirks: users provide the videos with
`--media`; the structure of the JSON was inferred from the code that wrote it.
Source: the card and code of orrzohar/Video-STaR.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.sources.chat import ANY, messages_of, turns_with_media
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample


def _adapt(row: Row) -> Iterator[Sample]:
    video = row.values.get("video") or row.values.get("video_path")
    if not isinstance(video, str):
        raise RowError("field-missing", "video, video_path")
    turns = turns_with_media(
        messages_of(row, row.list("conversations")), 1, placeholders=ANY, otherwise="front"
    )
    asked = any("step by step" in t.text.lower() for t in turns if t.role == "user")
    declared = row.values.get("qa_type") == "cot" or asked
    evidence = "qa_type is cot" if row.values.get("qa_type") == "cot" else "asked step by step"
    name = video.rpartition("/")[2]
    yield row.sample(
        key=row.values.get("_key", name.rpartition(".")[0]),
        turns=turns,
        media=(row.find(video, video.partition("/")[2] or name, name, kind="video"),),
        category="reasoning" if declared else "vqa",
        cot="declared" if declared else "none",
        cot_evidence=evidence if declared else "",
    )


SOURCE = Source(
    id="video-star",
    title="Video-STaR (VSTaR-1M)",
    role="video",
    modality="video",
    licence="Apache-2.0 tag; non-commercial research preview, OpenAI terms",
    origin=Hub(repo="orrzohar/Video-STaR"),
    format=JsonArray(),
    adapt=_adapt,
    version=2,
    rows_in=("ft_json/*.json",),
    subset_of=r"ft_json/(\w+?)_tune",
    rows=1_192_800,
    verified=False,
    unverified="the JSON's structure and keys: inferred from the code that wrote it",
    subsets=(
        Subset(name="kinetics700", rows=1_055_373),
        Subset(name="starb", rows=134_091),
        Subset(name="finediving", rows=3_336),
    ),
    media_from_user="Kinetics-700 (cvdfoundation), STAR/Charades and FineDiving",
    warnings=(
        "Videos are not published with it: give them with --media.",
        "MVBench takes tasks from STAR: hold out by video.",
    ),
)
