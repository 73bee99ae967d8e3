"""Read tiles: questions about a digit or a short word in each quarter of a picture.

The signs are so small that splitting the picture helps. The nano profile resizes a picture to
64 px: each quarter fills a 32-px sub-image, where a sign is about 11 px high; in the global 32-px
image it is about 5 px high.
"""

import io
import json
import random
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from smolmix.pipelines.corpora.demo.files import add
from smolmix.pipelines.corpora.demo.questions import about_medium
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Sample

IMAGES = {"train": 4_000, "heldout": 500}
_EDGES_PX = (96, 108, 120)  # below the edge from which curation looks for near duplicates
_PLACES = ("top left", "top right", "bottom left", "bottom right")
_DIGITS = "0123456789"
_WORDS = ("box", "cat", "dog", "egg", "key", "map", "sun", "zoo")
_QUESTIONS = ("read", "locate", "word")
_DIGIT = 0.25  # height of a digit's font, in parts of the picture's edge
_WORD = 0.2
_JITTER = 0.04  # of a sign's centre around its quarter's, in the same


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _signs(chance: random.Random) -> tuple[str, ...]:
    """Return what stands in the four quarters: two or three different digits, else words."""
    digits = chance.choice((2, 3))
    signs = chance.sample(_DIGITS, digits) + chance.sample(_WORDS, 4 - digits)
    chance.shuffle(signs)
    return tuple(signs)


def _draw(signs: tuple[str, ...], chance: random.Random) -> bytes:
    """Return the picture as PNG: dark signs on a light ground."""
    from PIL import Image, ImageDraw

    edge = chance.choice(_EDGES_PX)
    ground = tuple(chance.randrange(205, 256) for _ in range(3))
    image = Image.new("RGB", (edge, edge), ground)
    draw = ImageDraw.Draw(image)
    for number, sign in enumerate(signs):
        x, y = (
            edge * (0.25 + 0.5 * at + chance.uniform(-_JITTER, _JITTER))
            for at in (number % 2, number // 2)
        )
        size = _WORD if sign in _WORDS else _DIGIT
        height = round(edge * size * chance.uniform(0.95, 1.05))
        colour = tuple(chance.randrange(0, 100) for _ in range(3))
        draw.text((x, y), sign, colour, _font(height), anchor="mm", stroke_width=edge / 160)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()


def _ask(kind: str, signs: tuple[str, ...], chance: random.Random) -> tuple[str, str]:
    wanted = chance.choice([n for n, s in enumerate(signs) if (s in _WORDS) == (kind == "word")])
    if kind == "locate":
        return f"where is the {signs[wanted]}?", _PLACES[wanted]
    what = {"read": "what number is", "word": "which word is"}[kind]
    return f"{what} at the {_PLACES[wanted]}?", signs[wanted]


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    for split, count in IMAGES.items():
        lines: dict[str, list[str]] = {kind: [] for kind in _QUESTIONS}
        with tarfile.open(folder / f"{split}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(count):
                name = f"{split}-{number:04d}.png"
                chance = random.Random(f"read-tiles 1 {name}")
                signs = _signs(chance)
                add(archive, name, _draw(signs, chance))
                for kind in _QUESTIONS[: number % 3] + _QUESTIONS[number % 3 + 1 :]:
                    question, answer = _ask(kind, signs, chance)
                    row = {"image": name, "question": question, "answer": answer}
                    lines[kind].append(json.dumps(row))
        for kind, rows in lines.items():
            (folder / f"{split}-{kind}.jsonl").write_text("\n".join(rows) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    return about_medium(row, "image", kind="image", category="ocr", tags={"question": row.subset})


SOURCE = Source(
    id="read-tiles",
    title="Read tiles: a digit or a word in each quarter of a picture",
    role="demo",
    modality="image",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="read-tiles", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"-(\w+)\.jsonl",
    heldout=r"heldout-",
    rows=2 * sum(IMAGES.values()),
    subsets=(
        Subset(name="read", note="which digit stands in a quarter"),
        Subset(name="locate", note="in which quarter a digit stands"),
        Subset(name="word", note="which word stands in a quarter"),
    ),
)
