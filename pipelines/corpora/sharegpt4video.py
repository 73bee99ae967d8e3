"""ShareGPT4Video: one long caption a video.

Licence: CC-BY-NC-4.0. Quirks: no chat, so the question is one of our prompts; the caption of the
complete video is the one with `idx` -1; zips keep clips at different depths.
Source: the card of ShareGPT4Video/ShareGPT4Video.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.prompts import DESCRIBE_VIDEO, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample, turns_of

_WHOLE = "-1"  # the `idx`, a text, of the caption of the whole video


def _adapt(row: Row) -> Iterator[Sample]:
    path = row.text("video_path")
    caption = next(
        (
            c.get("content")
            for c in row.list("captions")
            if isinstance(c, dict) and str(c.get("idx")) == _WHOLE
        ),
        None,
    )
    if not isinstance(caption, str) or not caption.strip():
        raise RowError("caption-missing", "no caption of the whole video (idx -1)")
    folder, _, name = path.rpartition("/")
    archive = row.text("zip_folder", required=False).rpartition("/")[2].removesuffix(".zip")
    key = row.text("video_id", required=False) or path
    base = f"zip_folder/{folder}"
    yield row.sample(
        key=key,
        turns=turns_of(("user", [0, pick(DESCRIBE_VIDEO, key)]), ("assistant", caption.strip())),
        media=(
            row.find(
                f"{base}/{archive}/{name}",
                f"{base}/{name}",
                f"{base}/{path}",
                path,
                kind="video",
            ),
        ),
        category="caption",
        tags={"source": folder.partition("/")[0]} if folder else {},
    )


SOURCE = Source(
    id="sharegpt4video",
    title="ShareGPT4Video 40K",
    role="video",
    modality="video",
    licence="CC-BY-NC-4.0 (and OpenAI terms; ego4d and bdd100k clips have their own)",
    origin=Hub(repo="ShareGPT4Video/ShareGPT4Video"),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("sharegpt4video_40k.jsonl",),
    media_in=("zip_folder/*.zip",),
    rows=40_000,
    unverified="columns `timestamp` and `keyframe` (not read); sizes of the zips",
    warnings=("Not to be confused with ShareGPTVideo, the frames of llava-hound.",),
)
