"""Timing side by side: contenders take turns, the best of several rounds counts."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {"cpu": cpu, "cores": os.cpu_count(), "load": os.getloadavg()[0]}


def one_core() -> None:
    """Pin this process to one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def side_by_side(
    contenders: Mapping[str, Callable[[], Any]], *, rounds: int = 5
) -> dict[str, float]:
    """Return CPU seconds of each contender: its best of rounds in which all take turns.

    CPU time and the best round, not the wall clock: the machine is shared.
    """
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    for _ in range(rounds):
        for name, work in contenders.items():
            start = time.process_time()
            work()
            spent[name].append(time.process_time() - start)
    return {name: min(times) for name, times in spent.items()}


def report(name: str, value: object) -> None:
    """Print the figures and write them as JSON next to this file."""
    folder = Path(__file__).parent / "figures"
    folder.mkdir(exist_ok=True)
    body = {"machine": machine(), "figures": value}
    (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n")
    print(json.dumps(body, indent=1))
