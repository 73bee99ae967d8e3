"""Peak memory of curating 1x and 10x a corpus, of texts or of pictures, each in a new process.

python benchmarks/curate/memory.py --samples 20000
python benchmarks/curate/memory.py --samples 400 --pictures
"""

import argparse
import hashlib
import io
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from smolmix.pipelines.sources.row import Row
from smolmix.sample import Media, MediaRef, Sample, turns_of

_CUT_BYTES = {False: 2 << 20, True: 1 << 16}  # 4,000 texts, 130 pictures: 1x is several units


def _adapt(row: Row) -> Iterator[Sample]:
    question, answer = row.text("question"), row.text("answer")
    if uri := row.values.get("image"):
        media = [Media(kind="image", refs=(MediaRef(uri=uri),))]
        turns = turns_of(("user", [0, question]), ("assistant", answer))
        yield row.sample(turns=turns, media=media, category="vqa")
        return
    yield row.sample(turns=turns_of(("user", question), ("assistant", answer)), category="text")


def _picture(number: int) -> bytes:
    """Return a photograph-like JPEG; every tenth is a smaller copy of the one before it."""
    rng = np.random.default_rng(number - (number % 10 == 9))
    noise = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    size = (320, 240) if number % 10 == 9 else (640, 480)
    stream = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _write(root: Path, samples: int, pictures: bool) -> None:
    folder = root / "raw" / "memory" / "r1"
    folder.mkdir(parents=True)
    rng = random.Random(4)
    known = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(5_000)]
    path = folder / "rows.jsonl"
    with open(path, "w") as out:
        for number in range(samples):
            row = {
                "question": f"{number} " + " ".join(rng.choices(known, k=40)),
                "answer": " ".join(rng.choices(known, k=20)),
            }
            if pictures:
                row["image"] = f"raw/memory/r1/{number}.jpg"
                (folder / f"{number}.jpg").write_bytes(_picture(number))
            out.write(json.dumps(row) + "\n")
    entry = {
        "path": "raw/memory/r1/rows.jsonl",
        "size": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "url": "made",
    }
    record = {
        "corpus": "memory", "hub_id": "", "revision": "r1", "licence": "MIT", "files": [entry],
        "complete": True,
    }  # fmt: skip
    (folder.parent / "fetch.json").write_text(json.dumps(record))


def _curate(root: Path, pictures: bool) -> None:
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.curate import policy
    from smolmix.pipelines.curate.run import curate_corpus
    from smolmix.pipelines.formats.jsonl import JsonLines
    from smolmix.pipelines.sources.source import Local, Source
    from smolmix.workspace import Workspace

    source = Source(
        id="memory", title="", role="demo", modality="image" if pictures else "text",
        licence="MIT", origin=Local(url="."), format=JsonLines(cut_bytes=_CUT_BYTES[pictures]),
        adapt=_adapt, rows_in=("*.jsonl",),
    )  # fmt: skip
    at = time.monotonic()
    summary = curate_corpus(source, policy.load(), Workspace(root), options=RunOptions(quiet=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = round(time.monotonic() - at, 1)
    print(
        json.dumps({"kept": summary.accounting.kept, "seconds": seconds, "peak_mib": round(peak)})
    )


def main() -> None:
    """Curate 1x and 10x, and print both peaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--inside", type=Path)
    args = parser.parse_args()
    if args.inside:
        _curate(args.inside, args.pictures)
        return
    for times in (1, 10):
        root = Path(tempfile.mkdtemp())
        try:
            _write(root, times * args.samples, args.pictures)
            command = [sys.executable, __file__, "--inside", str(root)]
            command += ["--pictures"] if args.pictures else []
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{times}x", done.stdout.strip())
        finally:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
