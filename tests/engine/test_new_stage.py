"""A complete stage, as short as one is: what to write to add another."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.storage import Folder, digest_json


# The payload: what the function needs. It travels to a worker, so it holds plain values only.
@dataclass(frozen=True, slots=True, kw_only=True)
class LongLinesInput:
    text: str
    longest: int


# The function: reads its payload, writes files named after the unit, accounts for every row.
def _drop_long_lines(unit: Unit[LongLinesInput], context: UnitContext) -> Result:
    accounting, kept = RowAccounting(), []
    for line in unit.payload.text.splitlines():
        accounting.samples += 1
        if len(line) > unit.payload.longest:
            accounting.dropped["too-long"] = accounting.dropped.get("too-long", 0) + 1
        else:
            accounting.kept += 1
            kept.append(line)
    (context.out / f"{unit.name}.txt").write_text("\n".join(kept))
    return Result(accounting=accounting, stats={"characters": sum(map(len, kept))})


# The stage: raise its version whenever the function writes something else.
LONG_LINES = Stage(name="long-lines", version=1, run=_drop_long_lines, filters=True)


# The units: inputs by digest and parameters by value say when a unit must be done again.
def long_lines_units(texts: dict[str, str], longest: int) -> list[Unit[LongLinesInput]]:
    return [
        Unit(
            name=name,
            inputs={"text": digest_json(text)},
            params={"longest": longest},
            payload=LongLinesInput(text=text, longest=longest),
        )
        for name, text in texts.items()
    ]


def test_a_stage_does_its_units_once_and_prints_where_every_row_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, texts = Folder(tmp_path), {"part-00000": "a\nbbbb\nc", "part-00001": "dddd"}
    summary = run_stage(LONG_LINES, long_lines_units(texts, 3), folder=folder)
    assert (summary.accounting.kept, summary.accounting.dropped) == (2, {"too-long": 2})
    assert folder.read_bytes("part-00000.txt") == b"a\nc"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"long-lines {folder.name}: 2 files processed, 2 of 4 samples kept, dropped 2 too-long ("
    )

    texts["part-00001"] = "d"  # another input: this unit is done again, the other is not
    again = run_stage(LONG_LINES, long_lines_units(texts, 3), folder=folder)
    assert (again.done, again.skipped, again.accounting.kept) == (1, 1, 3)
    assert capsys.readouterr().err.splitlines()[0].endswith("part-00001 again: input text changed")


def test_a_step_of_a_composite_prints_a_line_only_if_verbose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units = long_lines_units({"part-00000": "a"}, 3)
    printed = {}
    for name, options in {
        "alone": RunOptions(),
        "step": RunOptions().for_steps(),
        "verbose step": RunOptions(verbose=True).for_steps(),
        "quiet": RunOptions(quiet=True, verbose=True),
    }.items():
        run_stage(LONG_LINES, units, folder=Folder(tmp_path / name), options=options)
        printed[name] = "1 file processed" in capsys.readouterr().err
    assert printed == {"alone": True, "step": False, "verbose step": True, "quiet": False}
