"""easy-VQA pairs: questions about two images at once.

The images are those of easy-VQA's training split. What each shows is derived from its own
questions and answers, so only images whose questions tell shape and colour are used.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.pipelines.corpora.demo.easy_vqa import COLOURS, PACKAGE, SHAPES, image_bytes, questions
from smolmix.pipelines.corpora.demo.files import package_version
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source
from smolmix.sample import Sample, turns_of

PAIRS = 3_000
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        (
            "images",
            pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ),
        ("question", pa.string()),
        ("answer", pa.string()),
    ]
)


def known_shapes(split: str) -> dict[int, tuple[str, str]]:
    """Return image id -> (shape, colour) of the images whose questions tell both."""
    found: dict[int, tuple[str, str]] = {}
    for image, pairs in questions(split).items():
        told = [answer for _, answer in pairs] + [
            word
            for q, a in pairs
            if a == "yes" and " not " not in q and "is no " not in q
            for word in q.rstrip("?").split()
        ]
        told += [word for q, _ in pairs if q.startswith("what") for word in q.rstrip("?").split()]
        shapes = {word for word in told if word in SHAPES}
        colours = {word for word in told if word in COLOURS}
        if len(shapes) == 1 and len(colours) == 1:
            found[image] = (shapes.pop(), colours.pop())
    return found


def _ask(chance: random.Random, one: tuple[str, str], two: tuple[str, str]) -> tuple[str, str]:
    same_shape, same_colour = one[0] == two[0], one[1] == two[1]
    asked = [
        ("do both images show the same shape?", "yes" if same_shape else "no"),
        ("are the shapes in the two images the same color?", "yes" if same_colour else "no"),
    ]
    number = chance.randrange(2)
    picked = (one, two)[number]
    which = ("first", "second")[number]
    if not same_shape:
        asked.append((f"which image shows a {picked[0]}, the first or the second?", which))
    if not same_colour:
        asked.append((f"which image shows a {picked[1]} shape, the first or the second?", which))
    asked.append((f"what shape is in the {which} image?", picked[0]))
    asked.append((f"what color is the shape in the {which} image?", picked[1]))
    return chance.choice(asked)


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    chance = random.Random("easy-vqa-pairs 1")
    shapes = known_shapes("train")
    images = sorted(shapes)
    rows = []
    for number in range(PAIRS):
        one, two = chance.sample(images, 2)
        question, answer = _ask(chance, shapes[one], shapes[two])
        rows.append(
            {
                "key": f"{number:05d}",
                "images": [
                    {"bytes": image_bytes("train", image), "path": f"{image}.png"}
                    for image in (one, two)
                ],
                "question": question,
                "answer": answer,
            }
        )
    pq.write_table(
        pa.Table.from_pylist(rows, schema=_SCHEMA),
        folder / "pairs.parquet",
        compression="zstd",
        row_group_size=500,
    )


def _adapt(row: Row) -> Iterator[Sample]:
    yield row.sample(
        key=row.values["key"],
        turns=turns_of(
            ("user", [0, 1, row.text("question")]),
            ("assistant", row.text("answer")),
        ),
        media=[row.cell("images", index) for index in range(len(row.list("images")))],
        category="vqa",
    )


SOURCE = Source(
    id="easy-vqa-pairs",
    title="easy-VQA pairs: questions over two images",
    role="demo",
    modality="multi-image",
    licence="MIT",
    origin=Generated(
        kind="generated",
        name=f"from package {PACKAGE}",
        revision=lambda: f"1-{package_version(PACKAGE)}",
        write=write,
    ),
    format=Parquet(columns=("key", "images", "question", "answer")),
    adapt=_adapt,
    rows_in=("*.parquet",),
    rows=PAIRS,
)
