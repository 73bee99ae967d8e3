"""Curating pictures that a perceptual hash cannot tell apart: CPU seconds, peak and copies found.

python benchmarks/curate/dense_buckets.py --pictures 11000

64-px patterns of single pixels on one grey; every hundredth again, as lossless WebP.
"""

import argparse
import hashlib
import io
import json
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from smolmix.pipelines.curate import policy
from smolmix.pipelines.curate.run import curate_corpus
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Local, Source
from smolmix.sample import Media, MediaRef, Sample, turns_of
from smolmix.workspace import Workspace

_COPIED = 100


def _adapt(row: Row) -> Iterator[Sample]:
    media = [Media(kind="image", refs=(MediaRef(uri=row.text("image")),))]
    turns = turns_of(("user", [0, "What is shown?"]), ("assistant", "A pattern."))
    yield row.sample(key=row.text("key"), turns=turns, media=media, category="vqa")


def _pattern(number: int) -> Image.Image:
    """Return 16 squares of 16 px, each of checks, stripes or nothing, all of one mean colour."""
    rng = np.random.default_rng(number)
    kinds = [((1, -1), (-1, 1)), ((1, 1), (-1, -1)), ((1, -1), (1, -1)), ((0, 0), (0, 0))]
    image = np.full((64, 64, 3), 128.0)
    for square in range(16):
        y, x = 16 * (square // 4), 16 * (square % 4)
        signs = np.tile(np.array(kinds[rng.integers(4)]), (8, 8))[..., None]
        image[y : y + 16, x : x + 16] += signs * rng.choice([-90, -45, 45, 90], 3)
    return Image.fromarray(image.astype(np.uint8))


def _write(root: Path, pictures: int) -> None:
    folder = root / "raw" / "alike" / "r1"
    folder.mkdir(parents=True)
    rows: list[str] = []

    def add(key: str, image: Image.Image, kind: str) -> None:
        stream = io.BytesIO()
        image.save(stream, kind, lossless=True)
        (folder / f"{key}.img").write_bytes(stream.getvalue())
        rows.append(json.dumps({"key": key, "image": f"raw/alike/r1/{key}.img"}))

    for number in range(pictures):
        image = _pattern(number)
        add(f"one{number}", image, "PNG")
        if number % _COPIED == 0:
            add(f"two{number}", image, "WEBP")
    data = ("\n".join(rows) + "\n").encode()
    (folder / "rows.jsonl").write_bytes(data)
    entry = {
        "path": "raw/alike/r1/rows.jsonl", "size": len(data), "url": "made",
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    record = {
        "corpus": "alike", "hub_id": "", "revision": "r1", "licence": "MIT", "files": [entry],
        "complete": True,
    }  # fmt: skip
    (folder.parent / "fetch.json").write_text(json.dumps(record))


def main() -> None:
    """Measure first, without a policy; then what the default policy adds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=11_000)
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp())
    source = Source(
        id="alike", title="", role="demo", modality="image", licence="MIT", origin=Local(url="."),
        format=JsonLines(), adapt=_adapt, rows_in=("*.jsonl",),
    )  # fmt: skip
    try:
        _write(root, args.pictures)
        seconds: dict[str, float] = {}
        for name in ("none", "default"):
            before = resource.getrusage(resource.RUSAGE_SELF)
            accounting = curate_corpus(source, policy.load(name), Workspace(root)).accounting
            used = resource.getrusage(resource.RUSAGE_SELF)
            spent = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
            seconds[f"{name}_cpu_s"] = round(spent, 1)
    finally:
        shutil.rmtree(root)
    copies = len(range(0, args.pictures, _COPIED))
    print(json.dumps({"pictures": args.pictures, "copies": copies, "found": accounting.duplicates,
                      **seconds, "peak_mib": round(used.ru_maxrss / 1024)}))  # fmt: skip


if __name__ == "__main__":
    main()
