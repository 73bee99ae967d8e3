"""M4-Instruct: questions about several images, and about videos as frames.

Licence: CC-BY-4.0, and the terms of the underlying sets. Quirks: one zip of images a source, one of
them split; some rows name an image one folder too high or too low; the frames of video rows are
those of LLaVA-Hound.
Source: the card of lmms-lab/M4-Instruct-Data.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.sources.chat import messages_of, turns_with_media
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Media, Sample

_FRAMES_FPS = 2.0


def _image(row: Row, path: object) -> Media:
    """Return the image, wherever its archive keeps it: as named, one folder deeper or higher."""
    if not isinstance(path, str) or not path:
        raise RowError("field-type", f"image: {path!r}")
    path = path.removeprefix("./")
    first, _, rest = path.partition("/")
    names = [path, f"{first}/{path}"]
    if first == "RAVEN":
        names += [f"RAVEN_train_images/{path}", f"RAVEN_train_images/{rest}"]
    return row.find(*names)


def _adapt(row: Row) -> Iterator[Sample]:
    details = row.values.get("metadata")
    details = details if isinstance(details, dict) else {}
    if details.get("split", "train") != "train":
        raise RowError("split-not-train", str(details["split"]))
    if isinstance(video := row.values.get("video"), str):
        media = [row.find(video, f"train_300k/{video}", kind="video", fps=_FRAMES_FPS)]
    else:
        value = row.values.get("image")
        media = [_image(row, p) for p in (value if isinstance(value, list) else [value])]
    yield row.sample(
        key=row.values.get("sample_id"),
        turns=turns_with_media(
            messages_of(row, row.list("conversations")),
            len(media),
            placeholders=("<image>", "<video>"),
            otherwise="front" if video else "refuse",
        ),
        media=media,
        category="vqa",
        tags={"source": str(details["dataset"])} if details.get("dataset") else {},
    )


SOURCE = Source(
    id="m4-instruct",
    title="M4-Instruct",
    role="multi-image",
    modality="multi-image",
    licence="CC-BY-4.0 (and OpenAI policy; underlying sets have their own terms)",
    origin=Hub(repo="lmms-lab/M4-Instruct-Data"),
    format=JsonArray(),
    adapt=_adapt,
    version=2,
    rows_in=("m4_instruct_annotations.json", "m4_instruct_video.json"),
    media_in=("*.zip", "*.z[0-9][0-9]"),
    subset_of=r"m4_instruct_(\w+)\.json",
    unverified="the total of rows, the type of sample_id, sizes of the zips",
    warnings=(
        "`load_dataset` cannot open it: JSON next to zips, dreamsim_split being a split one.",
        "Rows whose placeholders and images differ in number are dropped with that reason.",
        "Video rows need the frames of llava-hound (train_300k): give them with --media.",
        "SmolVLM2 kept rows with fewer than 5 images.",
    ),
)
