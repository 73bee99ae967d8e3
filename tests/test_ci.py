"""What runs before a commit and on the server calls what exists."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CHECK = ROOT / ".ci" / "check_files.py"


def _check(*names: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(CHECK), *names]
    return subprocess.run(call, cwd=cwd, capture_output=True, text=True)


def test_every_tracked_file_ends_in_one_newline_and_is_small() -> None:
    done = _check()
    assert (done.returncode, done.stdout) == (0, "")


def test_the_check_of_files_names_each_problem(tmp_path: Path) -> None:
    (tmp_path / "good").write_text("a\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "open").write_text("a")
    (tmp_path / "long").write_text("a\n\n")
    (tmp_path / "large").write_bytes(b"a" * (1 << 20))
    done = _check("good", "empty", "open", "long", "large", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["open", "long", "large"]


def test_hooks_use_the_environment_of_the_project_and_no_other_repository() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert {hook["id"] for hook in hooks} >= {"ruff", "ruff-format", "mypy"}
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        for argument in arguments:
            assert not argument.endswith(".py") or (ROOT / argument).is_file()


def test_the_workflow_runs_the_same_script_as_everybody() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["ci"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
