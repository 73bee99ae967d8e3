"""Times `stats` and `report` on synthetic corpora: wall, CPU, peak memory, size.

python -m benchmarks.report.run SCRATCH --stats-rows 10000000 --report-rows 1000000
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report.make_rows import CORPORA, make

from smolmix.mixtures.built.run import build
from smolmix.mixtures.spec.load import parse_spec
from smolmix.pipelines.report.browser.text_index import TextIndex, build_index
from smolmix.workspace import Workspace


def timed(*arguments: str) -> dict[str, float]:
    """Return the wall time, CPU time and peak memory of one `smolmix` command."""
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", "from smolmix.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"smolmix {' '.join(arguments)} failed")
    wall = time.perf_counter() - started
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_gb": round(used.ru_maxrss / 1e6, 3),
    }


def stats_benchmark(scratch: Path, rows: int) -> dict[str, float]:
    """Time `smolmix stats` over `rows` measured and counted samples."""
    place = scratch / f"stats-{rows}"
    if not place.exists():
        make(str(place), rows)
    return {"rows": rows, **timed("stats", str(place), "--json")}


def report_benchmark(scratch: Path, rows: int) -> dict[str, float]:
    """Time `smolmix report` of a mixture that takes all of `rows` samples."""
    place = scratch / f"report-{rows}"
    if not place.exists():
        make(str(place), rows)
        spec = {"name": "all", "components": {c: {"corpus": c} for c in CORPORA}}
        build(parse_spec(spec, "all.yaml"), Workspace(str(place)))
    used = timed("report", "all", "--workspace", str(place), "--json")
    files = [f for f in (place / "reports" / "all").rglob("*") if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    return {"rows": rows, **used, "megabytes": round(size / 1e6, 2), "files": len(files)}


def browse_benchmark(scratch: Path, rows: int) -> dict[str, float]:
    """Time indexing `rows` samples, and queries of the index: words, filters, a late page."""
    workspace = Workspace(str(scratch / f"report-{rows}"))
    path = scratch / "browse.sqlite"
    path.unlink(missing_ok=True)
    started = time.perf_counter()
    build_index(workspace, CORPORA, path)
    seconds = time.perf_counter() - started
    index = TextIndex(path)
    asked: list[tuple[dict[str, str], int]] = [
        ({"q": "people 12345"}, 0),
        ({"q": "picture taken"}, 0),  # in every sample
        ({"q": "chart", "corpus": "charts", "cot": "declared"}, 0),
        ({}, rows // 30),
    ]
    slowest = 0.0
    for filters, page in asked:
        began = time.perf_counter()
        index.query(filters, page, 24)
        slowest = max(slowest, time.perf_counter() - began)
    return {
        "rows": rows,
        "index_s": round(seconds, 2),
        "index_megabytes": round(path.stat().st_size / 1e6, 1),
        "slowest_query_s": round(slowest, 3),
    }


def main() -> None:
    """Run what the arguments ask for and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--stats-rows", type=int, default=0)
    parser.add_argument("--report-rows", type=int, default=0)
    asked = parser.parse_args()
    found = {}
    if asked.stats_rows:
        found["stats"] = stats_benchmark(asked.scratch, asked.stats_rows)
    if asked.report_rows:
        found["report"] = report_benchmark(asked.scratch, asked.report_rows)
        found["browse"] = browse_benchmark(asked.scratch, asked.report_rows)
    found["load"] = {"one_minute": os.getloadavg()[0], "cores": os.cpu_count() or 0}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
