"""Clip events: questions about a shape that changes colour about once a second.

What is shown: a square on grey in 48 or 64 px, encoded as H.264 at 8 frames per second. What is
asked: which colour is first or last, how many there are, what follows a colour; so the order and
the number of frames matter. Subsets by length: short 1 to 2 s, medium 3 to 4 s, long 6 to 8 s.
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

CLIPS = {"train": 720, "heldout": 150}  # a third of each length
_FPS = 8
_STEP = _FPS // 2  # frames after which the shape moves
_EDGES_PX = (48, 64)
_LENGTHS: dict[str, dict[int, tuple[int, ...]]] = {  # seconds -> colours shown
    "short": {1: (2,), 2: (2, 3)},
    "medium": {3: (2, 3, 4), 4: (3, 4, 5)},
    "long": {6: (4, 5, 6), 8: (4, 5, 6)},
}
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 70),
    "blue": (50, 80, 220),
    "yellow": (240, 215, 40),
    "purple": (150, 50, 180),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    name: str
    length: str
    edge_px: int
    colours: tuple[str, ...]
    starts: tuple[int, ...]  # the frame from which each colour is shown
    frames: int


def _clip(name: str, length: str, chance: random.Random) -> _Clip:
    seconds = chance.choice(sorted(_LENGTHS[length]))
    count = chance.choice(_LENGTHS[length][seconds])
    frames = seconds * _FPS
    even = [frames * n / count for n in range(count)]
    jitter = frames / count / 16  # so little that no colour falls between two sampled frames
    return _Clip(
        name=name,
        length=length,
        edge_px=chance.choice(_EDGES_PX),
        colours=tuple(chance.sample(sorted(COLOURS), count)),
        starts=(0, *(round(at + chance.uniform(-jitter, jitter)) for at in even[1:])),
        frames=frames,
    )


def _frames(clip: _Clip, chance: random.Random) -> Iterator["Image"]:
    from PIL import Image, ImageDraw

    edge = clip.edge_px
    ground = (chance.randrange(120, 150),) * 3
    for number in range(clip.frames):
        if number % _STEP == 0 or number in clip.starts:
            size = edge * chance.uniform(0.3, 0.38)
            x, y = (chance.uniform(size, edge - size) for _ in "xy")
        colour = COLOURS[clip.colours[sum(at <= number for at in clip.starts) - 1]]
        image = Image.new("RGB", (edge, edge), ground)
        ImageDraw.Draw(image).rectangle((x - size, y - size, x + size, y + size), fill=colour)
        yield image


def _questions(clip: _Clip, chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, question, answer)."""
    yield "first", "which color comes first?", clip.colours[0]
    yield "last", "which color comes last?", clip.colours[-1]
    if chance.random() < 0.5:
        yield "count", "how many colors are shown?", str(len(clip.colours))
    else:
        at = chance.randrange(len(clip.colours) - 1)
        yield "after", f"what comes after {clip.colours[at]}?", clip.colours[at + 1]


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    for split, count in CLIPS.items():
        lines: dict[str, list[str]] = {length: [] for length in _LENGTHS}
        with tarfile.open(folder / f"{split}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(count):
                name = f"{split}-{number:04d}.mp4"
                chance = random.Random(f"clip-events 1 {name}")
                clip = _clip(name, tuple(_LENGTHS)[number % 3], chance)
                data = mp4(_frames(clip, chance), edge_px=clip.edge_px, fps=_FPS)
                add(archive, name, data)
                lines[clip.length] += [
                    json.dumps({"video": name, "kind": k, "question": q, "answer": a})
                    for k, q, a in _questions(clip, chance)
                ]
        for length, rows in lines.items():
            (folder / f"{split}-{length}.jsonl").write_text("\n".join(rows) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    return about_medium(
        row,
        "video",
        kind="video",
        category="vqa",
        tags={"question": row.text("kind"), "length": row.subset},
    )


SOURCE = Source(
    id="clip-events",
    title="Clip events: a shape that changes colour, in clips of 1 to 8 s",
    role="demo",
    modality="video",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="clip-events", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"-(\w+)\.jsonl",
    heldout=r"heldout-",
    rows=3 * sum(CLIPS.values()),
    subsets=(
        Subset(name="short", rows=sum(CLIPS.values()), note="1 to 2 s"),
        Subset(name="medium", rows=sum(CLIPS.values()), note="3 to 4 s"),
        Subset(name="long", rows=sum(CLIPS.values()), note="6 to 8 s"),
    ),
)
