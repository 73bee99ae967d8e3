"""MathWriting: handwritten formulas as ink, with their LaTeX.

Licence: CC-BY-NC-SA-4.0. Quirks: ink is drawn as a picture once, when the archive is rewritten;
rows whose split tag contradicts their folder are dropped; the folders valid and test are held out.
Source: the README of mathwriting-2024.tgz.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.inkml import parse_ink, with_picture
from smolmix.pipelines.formats.small_files import TarMembers
from smolmix.pipelines.sources.prompts import READ_FORMULA, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Http, Source, Subset
from smolmix.sample import Sample, turns_of

_FILE = "mathwriting-2024.tgz"
_HELD_OUT = ("valid", "test")


def _adapt(row: Row) -> Iterator[Sample]:
    name = row.text("name")
    folder = name.split("/")[-2] if "/" in name else ""
    split = row.text("splitTagOriginal", required=False)
    if folder in ("train", *_HELD_OUT) and split and split != folder:
        raise RowError("split-mismatch", f"in folder {folder}, tagged {split}")
    label = row.text("normalizedLabel", required=False) or row.text("label")
    if not row.list("strokes"):
        raise RowError("ink-empty", name)
    key = row.text("sampleId", required=False) or name
    yield row.sample(
        key=key,
        subset=folder,
        split="heldout" if folder in _HELD_OUT else "train",
        turns=turns_of(("user", [0, pick(READ_FORMULA, key)]), ("assistant", label)),
        media=(row.find(f"{name.removesuffix('.inkml')}.png"),),
        category="math",
    )


SOURCE = Source(
    id="mathwriting",
    title="MathWriting: handwritten formulas",
    role="vision",
    modality="image",
    licence="CC-BY-NC-SA-4.0",
    origin=Http(
        urls=((_FILE, f"https://storage.googleapis.com/mathwriting_data/{_FILE}"),),
        revision="2024",
    ),
    format=TarMembers(suffix=".inkml", parse=parse_ink),
    adapt=_adapt,
    rows_in=("*.tar",),
    media_in=("*.tgz", "*.tar"),
    expand=with_picture,
    rows=229_864,
    subsets=(
        Subset(name="train", rows=229_864),
        Subset(name="valid", rows=15_674, note="held out"),
        Subset(name="test", rows=7_644, note="held out"),
        Subset(name="symbols", rows=6_423, note="single glyphs cut from train"),
        Subset(name="synthetic", rows=396_014, note="without human timing"),
    ),
    unverified="how SmolVLM drew the ink and what it asked",
    warnings=("Non-commercial, share-alike licence.",),
)
