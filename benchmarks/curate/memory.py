"""Peak memory of curating 1x and 10x a corpus of texts and questions, each in a new process.

python benchmarks/curate/memory.py --samples 20000
"""

import argparse
import hashlib
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

from smolmix.pipelines.sources.row import Row
from smolmix.sample import Sample, turns_of

_CUT_BYTES = 2 << 20  # units of about 4,000 rows, so 1x is already several units


def _adapt(row: Row) -> Iterator[Sample]:
    question, answer = row.text("question"), row.text("answer")
    yield row.sample(turns=turns_of(("user", question), ("assistant", answer)), category="text")


def _write(root: Path, samples: int) -> None:
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


def _curate(root: Path) -> None:
    from smolmix.pipelines.curate import Run, curate_corpus
    from smolmix.pipelines.filters import policy
    from smolmix.pipelines.layouts.jsonl import JsonLines
    from smolmix.pipelines.sources.source import Local, Source
    from smolmix.storage import Workspace

    source = Source(
        id="memory", title="", role="demo", modality="text", licence="MIT", origin=Local(url="."),
        layout=JsonLines(cut_bytes=_CUT_BYTES), adapt=_adapt, rows_in=("*.jsonl",),
    )  # fmt: skip
    at = time.monotonic()
    run = Run(workspace=Workspace(root), workers=0, quiet=True)
    summary = curate_corpus(source, policy.load(), run)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = round(time.monotonic() - at, 1)
    print(json.dumps({"kept": summary.tally.kept, "seconds": seconds, "peak_mib": round(peak)}))


def main() -> None:
    """Curate 1x and 10x, and print both peaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--inside", type=Path)
    args = parser.parse_args()
    if args.inside:
        _curate(args.inside)
        return
    for times in (1, 10):
        root = Path(tempfile.mkdtemp())
        try:
            _write(root, times * args.samples)
            command = [sys.executable, __file__, "--inside", str(root)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{times}x", done.stdout.strip())
        finally:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
