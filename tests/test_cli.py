"""Every verb explains itself with an example, and refuses a wrong call in one line."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from smolmix.cli import app

VERBS = sorted(get_command(app).commands)  # type: ignore[attr-defined]  # a group


def _smolmix(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from smolmix.cli import main; main()", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_verb_of_the_design_is_there() -> None:
    wanted = "corpora fetch curate mix tokenize train evaluate generate stats report verify run"
    assert set(wanted.split()) <= set(VERBS)


def test_help_lists_every_verb_in_the_order_of_a_days_work_and_cuts_none_short() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    lines = shown.split("Commands:\n")[1].strip().splitlines()
    assert [line.split()[0] for line in lines][:5] == [
        "corpora", "fetch", "curate", "mix", "tokenize",
    ]  # fmt: skip
    assert sorted(line.split()[0] for line in lines) == VERBS
    assert not any(line.endswith("...") for line in lines)


def test_the_recipes_that_help_names_are_those_that_ship() -> None:
    shown = " ".join(CliRunner().invoke(app, ["train", "--help"]).output.split())
    named = shown.split("one that ships: ")[1].split(". ")[0].split(", ")
    shipped = {path.stem for path in (Path(__file__).parents[1] / "model/recipes").glob("*.yaml")}
    assert set(named) == shipped


@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_an_example(verb: str) -> None:
    shown = CliRunner().invoke(app, [verb, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output or "Commands" in shown.output
    assert f"smolmix {verb}" in shown.output or "COMMAND" in shown.output


def test_an_unknown_corpus_is_one_line_with_the_nearest_name(tmp_path: Path) -> None:
    done = _smolmix("fetch", "easy-vqq", cwd=tmp_path)
    assert done.returncode == 2
    assert "easy-vqa" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_workspace_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = _smolmix("fetch", "easy-vqa", "--workspace", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("smolmix: --workspace file: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_curating_what_was_not_fetched_names_the_verb_that_is_missing(tmp_path: Path) -> None:
    done = _smolmix("curate", "easy-vqa", "--workers", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert "smolmix fetch easy-vqa" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("verb", [("mix", "plan"), ("mix", "build"), ("run",)])
def test_a_missing_spec_is_named(tmp_path: Path, verb: tuple[str, ...]) -> None:
    done = _smolmix(*verb, "no-such.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "no-such.yaml" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("report", "--workspace workspace: not there"),
        ("stats -w s4://b/c", "--workspace s4://b/c: Protocol not known: s4"),
        ("build here.csv --preset nano", "here.csv: a file; name a folder to be made"),
        ("fetch easy-vqa --max-bytes -3", "--max-bytes -3: not a size"),
        ("fetch easy-vqa --max-bytes 3X", "--max-bytes 3X: not a size"),
        ("fetch easy-vqa --revision main", "--revision chooses among published files"),
        ("fetch easy-vqa --files *.png", "--files chooses among published files"),
        (
            "curate easy-vqa --contamination-set none.txt",
            "--contamination-set none.txt: no such file",
        ),
        (
            "curate easy-vqa --contamination-set here.csv",
            "--contamination-set here.csv: .csv; give a .txt",
        ),
        ("curate easy-vqa --compare nope", "--policy nope: no such policy"),
        ("curate easy-vqa --policy folder.yaml", "folder.yaml: cannot be read (Is a directory)"),
        ("fetch a --catalogue s4.yaml", "a.path is 's4://b/c'; no store is known as 's4'"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(tmp_path: Path, call: str, says: str) -> None:
    (tmp_path / "here.csv").write_text("x")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "s4.yaml").write_text(
        "corpora: [{id: a, path: 's4://b/c', format: llava, licence: MIT}]"
    )
    before = sorted(tmp_path.iterdir())
    done = _smolmix(*call.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("smolmix: ")
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    left = [p for p in tmp_path.rglob("*") if p.is_file() or p not in before]
    assert {p.name for p in left} <= {"here.csv", "s4.yaml", "workspace", "raw", "easy-vqa"}


@pytest.mark.parametrize(
    ("older", "now"),
    [
        ("curate easy-vqa --against none.txt", "--contamination-set none.txt: no such file"),
        ("curate easy-vqa --against=none.txt", "--contamination-set none.txt: no such file"),
        ("tokenize none --tokens 512", "mixtures/none: no lock.json"),
        ("evaluate none easy-vqa --against other", "curated/easy-vqa: not there"),
        ("export none --out folder", "none: no plan"),
    ],
)
def test_an_earlier_spelling_is_accepted_and_hidden_from_help(
    tmp_path: Path, older: str, now: str
) -> None:
    done = _smolmix(*older.split(), cwd=tmp_path)
    assert "No such option" not in done.stderr
    assert now in done.stderr
    verb, option = older.split()[0], next(w for w in older.split() if w.startswith("--"))
    shown = CliRunner().invoke(app, [verb, "--help"]).output
    assert not re.search(rf"{option.split('=')[0]}(?![a-z-])", shown)


def test_training_on_what_is_not_tokenized_names_the_commands_that_are_missing(
    tmp_path: Path,
) -> None:
    done = _smolmix("train", "demo", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "`smolmix mix build demo-look` and `smolmix tokenize demo-look --sequence-length 2048`"
        in (done.stderr)
    )
    assert len(done.stderr.strip().splitlines()) == 1


def test_ctrl_c_says_that_what_is_whole_is_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "spec.yaml")  # reading it waits for what never comes
    called = subprocess.Popen(
        [sys.executable, "-c", "from smolmix.cli import main; main()", "mix", "plan", "spec.yaml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with (tmp_path / "spec.yaml").open("w"):  # opened once the other end is
        called.send_signal(signal.SIGINT)
        _, said = called.communicate(timeout=60)
    assert called.returncode == 130
    assert said.strip() == "smolmix: interrupted; what is whole is kept, run the same again"
