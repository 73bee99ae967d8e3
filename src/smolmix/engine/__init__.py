"""Runs stages: functions over units of work that are resumable, accounted for and parallel.

`stage` has the types (`Stage`, `Unit`, `Result`, `RunOptions`), `run` runs a stage and commits its
units, `ray_pool` runs jobs on Ray, `lock` keeps two runs apart. See tests/engine/test_new_stage.py
for a complete stage.
"""

from smolmix.engine.lock import locked
from smolmix.engine.run import print_summary, run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Summary, Unit, UnitContext

__all__ = [
    "Result",
    "RunOptions",
    "Stage",
    "Summary",
    "Unit",
    "UnitContext",
    "locked",
    "print_summary",
    "run_stage",
]
