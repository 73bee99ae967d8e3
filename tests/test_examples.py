"""The example scripts run as they are shown, in their order, on the small data they write."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
# In the order in which they build on each other; what each must print.
SCRIPTS = {
    "curate_corpus.py": ("image-truncated   1", "duplicate-exact   1", "media-missing     1"),
    "build_mixture.py": ("starter: ", "70.0% of tokens", "samples selected from my-notes"),
    "read_shards.py": ("own loop, step 3: loss", "'consumed': 3", "Trainer: mean loss"),
    "train_and_generate.py": ("4 steps in", "runs/my-first-run/final", "answer: "),
    "add_corpus.py": ("level-missing  1", "text-empty     1", "A piano."),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_runs_and_prints_what_it_did(folder: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "SMOLMIX_WORKSPACE"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in SCRIPTS[script]:
        assert text in done.stdout, done.stdout


def test_every_example_is_run_and_reads_like_documentation() -> None:
    found = {path.name: path.read_text() for path in EXAMPLES.glob("*.py")}
    assert set(found) == set(SCRIPTS)
    for name, text in found.items():
        assert f"python examples/{name}" in (ast.get_docstring(ast.parse(text)) or "")
        assert len(text.splitlines()) <= 90, name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("smolmix"):
                assert name == "add_corpus.py", f"{name}: use the public API"
