"""Peak memory of a worker that tokenizes many images, or an hour of video: flat, or not.

Run: python -m benchmarks.tokenize.memory SCRATCH [IMAGES]
"""

import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from benchmarks.tokenize.measure import report


def _child(scratch: Path, kind: str, count: int, codec: str) -> None:
    """Cut `count` images, or 20 clips of three minutes, noting memory as it goes."""
    from benchmarks.tokenize.frames import clip
    from benchmarks.tokenize.images import jpeg

    from smolmix.pipelines.pretokenize.tiles import tiles_row
    from smolmix.profiles import PixelProfile, pixel_preset
    from smolmix.sample import Media
    from smolmix.tokenize.shards import shards

    pixel = pixel_preset("256m")
    pixel = PixelProfile(**{**{f: getattr(pixel, f) for f in pixel.__slots__}, "codec": codec})
    files = [jpeg(448 + 32 * i, 336 + 16 * i) for i in range(12)]
    film = clip(180, (320, 180), 60) if kind == "video" else b""
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.append(psutil.Process().memory_info().rss / 2**20)

    def rows() -> Any:
        for i in range(count):
            if kind == "video":
                medium = Media(kind="video", refs=(), digest=str(i), frames=5400, fps=30.0,
                               duration_s=180.0, width=320, height=180)  # fmt: skip
                yield tiles_row(medium, [film], pixel)
                continue
            data = files[i % 12]
            size = 448 + 32 * (i % 12), 336 + 16 * (i % 12)
            medium = Media(kind="image", refs=(), digest=str(i), width=size[0], height=size[1])
            yield tiles_row(medium, [data], pixel)

    thread = threading.Thread(target=watch)
    thread.start()
    shards.write(scratch / "part.arrow", rows(), shards.TILES_SCHEMA, {})
    done.set()
    thread.join()
    tenths = [max(seen[len(seen) * i // 10 : len(seen) * (i + 1) // 10] or [0]) for i in range(10)]
    print(json.dumps({"peak MB": round(max(seen)), "by tenths": [round(t) for t in tenths]}))


def main() -> None:
    """Measure each in a process of its own."""
    scratch = Path(sys.argv[1])
    scratch.mkdir(parents=True, exist_ok=True)
    if "--child" in sys.argv:
        at = sys.argv.index("--child")
        _child(scratch, sys.argv[at + 1], int(sys.argv[at + 2]), sys.argv[at + 3])
        return
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    out = {}
    for kind, count, codec in (("image", images, "source"), ("image", images // 50, "jpeg:90"),
                               ("video", 20, "source"), ("video", 20, "raw")):  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.tokenize.memory", str(scratch), "--child",
                   kind, str(count), codec]  # fmt: skip
        started = time.time()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        name = f"{count:,} images" if kind == "image" else "60 minutes of video"
        out[f"{name}, {codec}"] = {
            **json.loads(io.StringIO(done.stdout.splitlines()[-1]).read()),
            "seconds": round(time.time() - started),
        }
    report("memory", out)


if __name__ == "__main__":
    main()
