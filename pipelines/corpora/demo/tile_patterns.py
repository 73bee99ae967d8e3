"""Tile patterns: questions about fine patterns that can only be seen when a picture is split.

Patterns are stripes or checks of single pixels in two colours whose mean is grey, one or three in a
picture of 64 px. A 32-px sub-image of the nano profile shows them as they are; in the global image
of half the size, each is the same plain grey. They are placed on a grid of 8 px, the nano vision
tower's patch, so that a model has to learn where to look and not how to see.
"""

import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from smolmix.pipelines.corpora.demo.files import add
from smolmix.pipelines.corpora.demo.questions import about_medium
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Sample

IMAGES = {"train": 5_000, "heldout": 500}
_EDGE_PX = 64
_GRID_PX = 8
_SQUARE_PX = 16
_PLACES = ("top left", "top right", "bottom left", "bottom right")
_PATTERNS = {  # two pixels by two, repeated
    "rows": ((1, 1), (-1, -1)),
    "columns": ((1, -1), (1, -1)),
    "checks": ((1, -1), (-1, 1)),
}
_COLOURS = {
    "red": (1, -1, -1),
    "green": (-1, 1, -1),
    "blue": (-1, -1, 1),
}  # and the opposite

Figure = tuple[str, str]  # colour, pattern


def _draw(figures: Mapping[int, Figure], chance: random.Random) -> bytes:
    """Return a picture with figures in some of its quarters, as PNG."""
    from PIL import Image

    image = np.full((_EDGE_PX, _EDGE_PX, 3), float(chance.randrange(110, 146)))
    half, repeats = _EDGE_PX // 2, _SQUARE_PX // 2
    for quarter, (colour, pattern) in figures.items():
        y, x = (
            at * half + _GRID_PX * chance.randint(0, (half - _SQUARE_PX) // _GRID_PX)
            for at in (quarter // 2, quarter % 2)
        )
        signs = np.tile(np.array(_PATTERNS[pattern]), (repeats, repeats))
        square = signs[..., None] * np.array(_COLOURS[colour]) * chance.uniform(60, 100)
        image[y : y + _SQUARE_PX, x : x + _SQUARE_PX] += square
    out = io.BytesIO()
    Image.fromarray(image.clip(0, 255).round().astype(np.uint8)).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _asked(number: int, chance: random.Random) -> tuple[dict[int, Figure], list[tuple[str, ...]]]:
    """Return what is in which quarter, and (kind, question, answer) about it."""
    if number % 2:
        colours, patterns = (chance.sample(sorted(kinds), 3) for kinds in (_COLOURS, _PATTERNS))
        quarters = chance.sample(range(4), 3)
        figures = dict(zip(quarters, zip(colours, patterns, strict=True), strict=True))
        first, second = chance.sample(quarters, 2)
        return figures, [
            ("at", f"which color is at the {_PLACES[first]}?", figures[first][0]),
            ("find", f"where are the {figures[second][1]}?", _PLACES[second]),
        ]
    quarter = chance.randrange(4)
    colour, pattern = chance.choice(sorted(_COLOURS)), chance.choice(sorted(_PATTERNS))
    return {quarter: (colour, pattern)}, [
        ("color", "which color is shown?", colour),
        ("pattern", "which pattern is shown?", pattern),
        ("where", "where is the pattern?", _PLACES[quarter]),
    ]


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    drawn: set[bytes] = set()
    for split, count in IMAGES.items():
        lines: dict[str, list[str]] = {}
        with tarfile.open(folder / f"{split}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(count):
                name = f"{split}-{number:04d}.png"
                chance = random.Random(f"tile-patterns 1 {name}")
                figures, asked = _asked(number, chance)
                picture = _draw(figures, chance)
                while picture in drawn:  # so that no held-out picture is trained on
                    picture = _draw(figures, chance)
                drawn.add(picture)
                add(archive, name, picture)
                for kind, question, answer in asked:
                    row = {"image": name, "question": question, "answer": answer}
                    lines.setdefault(kind, []).append(json.dumps(row))
        for kind, rows in lines.items():
            (folder / f"{split}-{kind}.jsonl").write_text("\n".join(rows) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    return about_medium(row, "image", kind="image", category="vqa", tags={"question": row.subset})


SOURCE = Source(
    id="tile-patterns",
    title="Tile patterns: fine stripes and checks in the quarters of a picture",
    role="demo",
    modality="image",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="tile-patterns", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"-(\w+)\.jsonl",
    heldout=r"heldout-",
    rows=5 * sum(IMAGES.values()) // 2,
    subsets=(
        Subset(name="color", note="of the one pattern"),
        Subset(name="pattern", note="which one it is"),
        Subset(name="where", note="in which quarter it is"),
        Subset(name="at", note="color of one of three, by its quarter"),
        Subset(name="find", note="quarter of one of three, by its pattern"),
    ),
)
