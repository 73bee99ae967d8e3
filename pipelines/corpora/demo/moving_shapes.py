"""Moving shapes: five questions about each clip of one shape that moves in one direction.

Clips are 2 to 4 s of H.264 at 8 frames per second, 64 to 96 px. The held-out clips have files of
their own.
"""

import json
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smolmix.pipelines.corpora.demo.files import add, mp4
from smolmix.pipelines.corpora.demo.questions import about_medium
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Sample

if TYPE_CHECKING:
    from PIL.Image import Image

CLIPS = {"train": 400, "heldout": 80}
_FPS = 8
_EDGES_PX = (64, 80, 96)
_SHAPES = ("circle", "square", "triangle")
_COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 70),
    "blue": (50, 80, 220),
    "yellow": (235, 200, 30),
    "black": (20, 20, 20),
}
_WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What one clip shows."""

    name: str
    edge_px: int
    seconds: int
    shape: str
    colour: str
    way: str
    drift: float  # where on the other axis it stays, 0 to 1
    ground: tuple[int, int, int]


def draw_clip(name: str) -> Clip:
    """Return the clip of that name: always the same."""
    chance = random.Random(f"moving-shapes 1 {name}")
    light = chance.randrange(215, 250)
    return Clip(
        name=name,
        edge_px=chance.choice(_EDGES_PX),
        seconds=chance.choice((2, 3, 4)),
        shape=chance.choice(_SHAPES),
        colour=chance.choice(sorted(_COLOURS)),
        way=chance.choice(sorted(_WAYS)),
        drift=chance.uniform(0.25, 0.75),
        ground=(light, light, light - chance.randrange(20)),
    )


def encoded(clip: Clip) -> bytes:
    """Return the clip as an MP4 file."""
    return mp4(_frames(clip), edge_px=clip.edge_px, fps=_FPS)


def _frames(clip: Clip) -> Iterator["Image"]:
    from PIL import Image, ImageDraw

    frames = clip.seconds * _FPS
    size = clip.edge_px * 0.14
    x_way, y_way = _WAYS[clip.way]
    for number in range(frames):
        along = (number / (frames - 1) - 0.5) * 0.64
        x = clip.edge_px * (0.5 + along * x_way if x_way else clip.drift)
        y = clip.edge_px * (0.5 + along * y_way if y_way else clip.drift)
        image = Image.new("RGB", (clip.edge_px, clip.edge_px), clip.ground)
        draw = ImageDraw.Draw(image)
        colour = _COLOURS[clip.colour]
        if clip.shape == "circle":
            draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
        elif clip.shape == "square":
            draw.rectangle((x - size, y - size, x + size, y + size), fill=colour)
        else:
            draw.polygon([(x, y - size), (x - size, y + size), (x + size, y + size)], fill=colour)
        yield image


def _questions(clip: Clip) -> Iterator[tuple[str, str]]:
    yield f"which way does the {clip.shape} move?", clip.way
    yield "what moves?", f"a {clip.colour} {clip.shape}"
    yield "what shape moves in the video?", clip.shape
    yield "what color is the moving shape?", clip.colour
    ends = {"left": "on the left", "right": "on the right", "up": "at the top"}
    yield "where is the shape at the end?", ends.get(clip.way, "at the bottom")


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    for split, count in CLIPS.items():
        lines = []
        with tarfile.open(folder / f"{split}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(count):
                clip = draw_clip(f"{split}-{number:04d}")
                add(archive, f"{clip.name}.mp4", encoded(clip))
                lines += [
                    json.dumps({"video": f"{clip.name}.mp4", "question": q, "answer": a})
                    for q, a in _questions(clip)
                ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    return about_medium(row, "video", kind="video", category="vqa")


SOURCE = Source(
    id="moving-shapes",
    title="Moving shapes: what moves where, in short H.264 clips",
    role="demo",
    modality="video",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="moving-shapes", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"(train|heldout)\.jsonl",
    heldout=r"heldout\.jsonl",
    rows=5 * sum(CLIPS.values()),
    subsets=tuple(Subset(name=name, rows=5 * count) for name, count in CLIPS.items()),
)
