"""Every verb explains itself with an example, and refuses a wrong call in one line."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import smolmix
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
        ("report", "--workspace workspace: no such folder"),
        ("stats -w s4://b/c", "--workspace s4://b/c: Protocol not known: s4"),
        ("build here.csv --preset nano", "here.csv: a file; name a new folder"),
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
        ("evaluate none easy-vqa --against other", "curated/easy-vqa: missing or not finished"),
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


def _options() -> Iterator[tuple[str, Any]]:
    """Yield every option of every verb."""
    group = get_command(app)
    for name, verb in group.commands.items():  # type: ignore[attr-defined]  # a group of commands
        inner = getattr(verb, "commands", None) or {name: verb}
        for command in inner.values():
            yield from ((command.name, p) for p in command.params if p.param_type_name == "option")


def test_an_option_means_the_same_in_every_verb() -> None:
    # The count that --examples and the like stand for is in the help of the verb itself.
    helps: dict[str, set[str]] = defaultdict(set)
    verbs: dict[str, int] = defaultdict(int)
    for _, option in _options():
        name = max(option.opts, key=len)
        text = str(option.help).split("; default")[0].partition(" (")[0].partition(":")[0]
        helps[name].add(text.rstrip("."))
        verbs[name] += 1
    assert {name: found for name, found in helps.items() if len(found) > 1} == {}
    assert sum(count > 1 for count in verbs.values()) >= 10


def test_every_verb_takes_quiet_and_verbose_and_short_help() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for verb, option in _options():
        found[verb] |= set(option.opts)
    assert len(found) >= 18
    assert all({"-q", "-v"} <= options for options in found.values())
    assert CliRunner().invoke(app, ["mix", "plan", "-h"]).output.startswith("Usage")


def test_the_workspace_comes_from_the_environment_unless_it_is_given(tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        environment = {"SMOLMIX_WORKSPACE": str(tmp_path / "from-environment")}
        done = CliRunner().invoke(app, ["stats", "curated/x", *arguments], env=environment)
        return str(done.exception)

    assert "from-environment" in call()
    assert "from-environment" not in call("--workspace", str(tmp_path / "given"))


def test_version_with_v_names_the_libraries_and_imports_none(tmp_path: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from smolmix.cli import app; "
        "print(CliRunner().invoke(app, ['--version', '-v']).output); "
        "print([m for m in ('torch', 'transformers', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.split()
    assert lines[0] == "smolmix"
    assert {"torch", "transformers", "ray"} <= set(lines)
    assert lines[-1] == "[]"
    assert CliRunner().invoke(app, ["--version"]).output == f"smolmix {smolmix.__version__}\n"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("train demmo", "did you mean 'demo'?"),
        ("run demmo", "did you mean 'demo'?"),
        ("run bad.yaml", "nmae"),
        ("mix plan starrter", "did you mean 'starter'?"),
        ("mix build starrter", "did you mean 'starter'?"),
        ("ablate image-spliting", "did you mean 'image-splitting'?"),
        ("fetch easy-vqq", "did you mean 'easy-vqa'?"),
        ("curate easy-vqq", "did you mean 'easy-vqa'?"),
        ("tokenize mnie", "did you mean 'mine'?"),
    ],
)
def test_a_typo_is_answered_before_anything_heavy_is_imported(
    tmp_path: Path, call: str, hint: str
) -> None:
    (tmp_path / "bad.yaml").write_text("nmae: x\n")
    (tmp_path / "workspace/mixtures/mine").mkdir(parents=True)
    (tmp_path / "workspace/mixtures/mine/lock.json").write_text("{}")
    code = (
        "import sys\nfrom smolmix.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print([m for m in ('torch', 'transformers', 'ray', 'polars') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *call.split()],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert hint in done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        ("train my-recpie.yaml", "did you mean 'my-recipe.yaml'?"),
        ("train folder/my-recpie.yaml", "did you mean 'folder/my-recipe.yaml'?"),
        ("mix plan my-mixtrue.yaml", "did you mean 'my-mixture.yaml'?"),
        ("mix plan my-mixture.yaml", "did you mean 'my-pictures'?"),
        ("curate my-pictres --workers 0", "did you mean 'my-pictures'?"),
        ("report my-mixtrue", "did you mean 'my-mixture'?"),
        ("mix diff my-mixtrue my-mixture", "did you mean 'my-mixture'?"),
        ("stats runs/my-runn", "did you mean 'runs/my-run'?"),
    ],
)
def test_the_users_own_files_corpora_mixtures_and_runs_are_suggested(
    tmp_path: Path, call: str, hint: str
) -> None:
    for name in ("mixtures/my-mixture", "runs/my-run"):
        (tmp_path / "workspace" / name).mkdir(parents=True)
    for name in ("lock.json", "selection.parquet"):
        (tmp_path / "workspace/mixtures/my-mixture" / name).write_text("{}")
    (tmp_path / "folder").mkdir()
    for name in ("my-recipe.yaml", "folder/my-recipe.yaml"):
        (tmp_path / name).write_text("name: x")
    (tmp_path / "my-mixture.yaml").write_text(
        "name: m\ntotal: max\ncomponents: {a: {corpus: my-pictres}}\n"
    )
    (tmp_path / "rows.jsonl").write_text("{}")
    (tmp_path / "own.yaml").write_text(
        "corpora: [{id: my-pictures, path: ., format: llava, licence: MIT}]"
    )
    corpora = smolmix.read_catalogue(tmp_path / "own.yaml")
    smolmix.fetch_corpus(corpora["my-pictures"], str(tmp_path / "workspace"))
    done = _smolmix(*call.split(), cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert hint in done.stderr


def test_quiet_prints_the_result_alone_and_verbose_every_step(tmp_path: Path) -> None:
    row = '{"id": 1, "conversations": [{"from": "human", "value": "Hello?"}, '
    (tmp_path / "rows.jsonl").write_text(row + '{"from": "gpt", "value": "Hello."}]}')
    (tmp_path / "own.yaml").write_text(
        "corpora: [{id: notes, path: ., format: llava, licence: MIT, modality: text}]"
    )
    corpora = smolmix.read_catalogue(tmp_path / "own.yaml")
    smolmix.fetch_corpus(corpora["notes"], str(tmp_path / "workspace"))
    lines = {}
    for flag in ("--quiet", "--json", "--verbose"):  # --json: as much as is usual
        shutil.rmtree(tmp_path / "workspace/curated", ignore_errors=True)
        done = _smolmix("curate", "notes", "--workers", "0", flag, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "kept" in done.stdout
        lines[flag] = len(done.stderr.splitlines())
    assert lines["--quiet"] == 0 < lines["--json"] < lines["--verbose"]


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


def test_ctrl_c_says_that_what_is_finished_is_kept(tmp_path: Path) -> None:
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
    assert said.strip() == (
        "smolmix: interrupted; what is finished is kept; run the same command again to continue"
    )
