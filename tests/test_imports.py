"""Rooms import downwards only, and the command line imports nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {
    "arrow_columns", "cost", "errors", "media", "profiles", "progress", "sample", "storage",
    "written",
}  # fmt: skip
ALLOWED = {
    "mixtures": GROUND | {"mixtures"},
    "tokenize": GROUND | {"tokenize"},
    "model": GROUND | {"tokenize", "model", "cluster"},  # Ray Train starts Ray as stages do
    "pipelines": GROUND | {"engine", "cluster", "mixtures", "tokenize", "model", "pipelines"},
}
HEAVY = ("ray", "torch", "polars", "pyarrow", "transformers", "datasets", "pydantic", "scipy", "av")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "smolmix":
                names = (alias.name for alias in node.names)
                yield from (f"smolmix.{name}" for name in names if not name.startswith("__"))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_rooms_import_only_what_they_stand_on(room: str) -> None:
    checked = 0
    for path in sorted((ROOT / room).rglob("*.py")):
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "smolmix" and len(parts) > 1:
                assert parts[1] in ALLOWED[room], f"{path.relative_to(ROOT)} imports {name}"
                checked += 1
            if room in ("mixtures", "tokenize"):
                assert parts[0] != "ray", f"{path.relative_to(ROOT)} imports Ray"
    assert checked > 0


def test_ground_imports_no_room() -> None:
    checked = 0
    for name in sorted(GROUND):
        for imported in _imports(ROOT / "src" / "smolmix" / f"{name}.py"):
            parts = imported.split(".")
            if parts[0] == "smolmix" and len(parts) > 1:
                assert parts[1] in GROUND, f"{name}.py imports {imported}"
                checked += 1
    assert checked > 0


def test_the_command_line_imports_nothing_heavy_before_a_verb_needs_it() -> None:
    code = (
        "import sys, smolmix.cli; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(smolmix.cli.app, ['--help']).exit_code == 0; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
