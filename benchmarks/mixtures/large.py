"""Plan and build a mixture of 100 components over 1, 3 and 10 million curated samples.

    python benchmarks/mixtures/large.py [ROWS...]

Each size runs in a process of its own, so that its peak memory is its own. Printed: seconds to
plan (load, solve), seconds to build (load, solve, order, write selection and lock), peak memory,
and how far the worst share is off.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
from tests.support.synthetic import write_corpus

from smolmix.mixtures.built.run import build, solve_curated
from smolmix.mixtures.spec.load import Reading, parse_spec
from smolmix.profiles import profile
from smolmix.workspace import Workspace

COMPONENTS = 100
PROFILE = profile("256m")
MODALITIES = ("image", "text", "video", "multi-image")
TEXT = {"image": 200, "text": 800, "video": 300, "multi-image": 250}
VISUAL = {"image": 866, "text": 0, "video": 3000, "multi-image": 2598}


def reading() -> Reading:
    """Return a spec with shares in tokens, both caps and a target length."""
    return parse_spec(
        {
            "name": "large",
            "unit": "tokens",
            "components": {f"c{i:03d}": {"corpus": f"c{i:03d}"} for i in range(COMPONENTS)},
            "shares": {
                "modality": {"text": 0.14, "video": 0.33, "multi-image": {"min": 0.10, "max": 0.14}}
            },
            "caps": {"cot": 0.0005, "cot_detected": 0.02, "epochs": 2, "duration_s": {"mean": 100}},
        },
        "large.yaml",
    )


def write(workspace: Workspace, rows: int) -> None:
    """Write the curated and counted corpora; not part of what is measured."""
    rng = np.random.default_rng(0)
    each = rows // COMPONENTS
    for i in range(COMPONENTS):
        modality = MODALITIES[i % 4]
        numbers = pa.array(np.arange(each)).cast(pa.string())
        write_corpus(
            workspace,
            f"c{i:03d}",
            each,
            PROFILE,
            parts=max(1, each // 25_000),
            id=pa.compute.binary_join_element_wise(f"c{i:03d}/subset-{i:03d}/", numbers, ""),
            modality=modality,
            text_tokens=rng.gamma(2.0, TEXT[modality] / 2, each).astype(np.int64) + 8,
            visual_tokens=VISUAL[modality],
            duration_s=rng.gamma(2.0, 40, each) if modality == "video" else 0.0,
            cot=rng.choice(["none", "declared", "detected"], each, p=[0.90, 0.02, 0.08]),
        )


def peak_gb() -> float:
    """Return the peak memory of this process in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def run(url: str) -> dict[str, float]:
    """Return what planning and building took."""
    spec, workspace = reading(), Workspace(url)
    started = time.perf_counter()
    solve_curated(spec, workspace)
    planned = time.perf_counter()
    lock = build(spec, workspace)
    done = time.perf_counter()
    target = {"shares.modality.text": 0.14, "shares.modality.video": 0.33}
    return {
        "plan_s": planned - started,
        "build_s": done - planned,
        "peak_gb": peak_gb(),
        "samples": lock.samples,
        "share_error_pp": 100 * max(abs(lock.achieved[k] - v) for k, v in target.items()),
        "cot_share": lock.achieved["caps.cot"],
    }


def main() -> None:
    """Run every size in a process of its own."""
    if len(sys.argv) == 3 and sys.argv[1] == "--run":
        print(json.dumps(run(sys.argv[2])))
        return
    sizes = [int(n) for n in sys.argv[1:]] or [1_000_000, 3_000_000, 10_000_000]
    print("| rows | samples | plan s | build s | peak GB | worst share off, pp | CoT share |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write(Workspace(folder), rows)
            command = [sys.executable, __file__, "--run", folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        r = json.loads(said.splitlines()[-1])
        print(
            f"| {rows:,} | {r['samples']:,} | {r['plan_s']:.1f} | {r['build_s']:.1f} | "
            f"{r['peak_gb']:.2f} | {r['share_error_pp']:.4f} | {100 * r['cot_share']:.4f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
