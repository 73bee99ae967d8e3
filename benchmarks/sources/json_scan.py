"""Cutting a JSON array of many rows into units, against a parser that holds all of it in memory.

    python benchmarks/sources/json_scan.py

MAmmoTH-VL's rows are arrays of tens of gigabytes. Three kinds of rows of conversations: plain
words; maths with quotes, backslashes and line breaks, all escaped; and text whose every other
character is written as \\uXXXX. Each is one file of 512 MiB; the numbers are CPU seconds of one
process, and the memory is what the process grew by at most.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smolmix.pipelines.formats.format import RawFile
from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.storage import Folder

BYTES = 512 << 20
_BLOCK = 8 << 20  # made once and repeated
_WORDS = {
    "plain": ("alpha ", "beta ", "gamma ", "delta "),
    "escapes": ("\n", '"', "\\", "word ", "$\\frac{a}{b}$ ", "x"),
    "unicode": ("é", "漢", "a", "b"),
}


def _block(kind: str) -> bytes:
    chance, rows, size = random.Random(0), list[str](), 0
    while size < _BLOCK:
        said = "".join(chance.choices(_WORDS[kind], k=150))
        turns = [{"from": "human", "value": f"<image>\n{said}"}, {"from": "gpt", "value": said}]
        rows.append(json.dumps({"id": len(rows), "image": "a/b.jpg", "conversations": turns}))
        size += len(rows[-1])
    return ", ".join(rows).encode()


def _write(path: Path, kind: str) -> None:
    block = _block(kind)
    with path.open("wb") as out:
        out.write(b"[" + block)
        for _ in range(BYTES // len(block)):
            out.write(b", " + block)
        out.write(b"]")


def _kib(name: str) -> int:
    """Return a figure of this process's memory; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _measure(way: str, path: Path) -> None:
    before = _kib("VmRSS")
    start = time.process_time()
    if way == "cut":
        file = RawFile(path=path.name, size=path.stat().st_size, sha256="")
        pieces = JsonArray().split([file], Folder(path.parent))
        rows = sum(p.stop - p.start for p in pieces if p.stop is not None)
    else:
        rows = len(json.loads(path.read_bytes()))
    spent = time.process_time() - start
    grown = (_kib("VmHWM") - before) / 1024
    speed = path.stat().st_size / 1e6 / spent
    print(f"  {way:10} {rows:9,} rows {spent:7.2f} s {speed:7.0f} MB/s, grew by {grown:,.0f} MiB")


def main() -> None:
    """Print the figures of each kind of rows, each way in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        for kind in _WORDS:
            path = Path(scratch, "rows.json")
            _write(path, kind)
            print(f"{kind}, {path.stat().st_size / 1e6:,.0f} MB", flush=True)
            for way in ("cut", "json.loads"):
                subprocess.run([sys.executable, __file__, way, str(path)], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _measure(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
