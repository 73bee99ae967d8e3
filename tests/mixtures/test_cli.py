"""The verbs of `smolmix mix`: exit codes, one line for each fault, nothing written on refusal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from smolmix import cli
from smolmix.workspace import Workspace

Corpus = Callable[..., None]
Run = Callable[..., tuple[int, str, str]]

MIX = """
name: t
profile: {preset: nano, style: inference}
components:
  image: {corpus: easy-vqa}
  text: {corpus: word-problems}
"""


@pytest.fixture
def run(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        place = [] if words[1] == "import" else ["--workspace", workspace.path]
        monkeypatch.setattr("sys.argv", ["smolmix", *words, *place])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def two(corpus: Corpus) -> None:
    corpus("easy-vqa", 900)
    cot = ["declared" if i % 2 else "none" for i in range(300)]
    corpus("word-problems", 300, modality="text", visual_tokens=0, cot=cot)


def test_build_diff_and_rebuild(
    two: None, run: Run, spec_file: Callable[..., Path], workspace: Workspace
) -> None:
    path = spec_file(MIX + "caps: {cot: 1 %}\n")
    code, out, _ = run("mix", "build", str(path))
    assert code == 0
    assert "chain of thought: declared 10 of 150 (0.9434 %, cap 1 %)" in out
    lock = workspace.mixture("t").at("lock.json")
    before = Path(lock).read_bytes()
    assert run("mix", "build", lock)[0] == 0
    assert Path(lock).read_bytes() == before
    more = spec_file(MIX.replace("name: t", "name: u") + "seed: 1\ntotal: 500\n", "u.yaml")
    assert run("mix", "build", str(more))[0] == 0
    code, out, _ = run("mix", "diff", "t", "u", "--json")
    found = json.loads(out)
    assert found["samples"] == [1060, 500]
    assert found["samples_kept"] + found["samples_in"] == 500
    assert found["samples_kept"] + found["samples_out"] == 1060
    assert found["licences"] == {"MIT": [1060, 500]}
    code, out, _ = run("mix", "diff", "t", "t")
    assert out == "the same selection in the same order\n"


def test_plan_uses_measures_where_they_are(
    two: None, run: Run, spec_file: Callable[..., Path]
) -> None:
    code, out, _ = run("mix", "plan", str(spec_file(MIX)), "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["samples"]["value"], found["samples"]["known"]) == (1200, "measured")


def test_the_published_plan_needs_no_workspace(run: Run) -> None:
    code, out, _ = run("mix", "plan", "smolvlm2-2.2b")
    assert code == 0
    assert "3,353,849 (declared) samples" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("share: -0.2", "components.text.share is -0.2"),
        ("share: 1.2", "components.text.share is 1.2; a share is between 0 and 1"),
        (
            "corpus: word-problem",
            "lists them; did you mean 'word-problems'?",
        ),
        ("corpus: mmmu", "components.text.corpus is 'mmmu'; a benchmark is never trained on"),
        ("corpus: finevideo", "components.text.corpus is 'finevideo', which is gated"),
    ],
)
def test_a_wrong_spec_is_one_line_and_writes_nothing(
    text: str, said: str, two: None, run: Run, spec_file: Callable[..., Path], workspace: Workspace
) -> None:
    key = text.split(":")[0]
    line = "corpus: word-problems" if key == "corpus" else "corpus: word-problems}"
    new = text if key == "corpus" else f"corpus: word-problems, {text}}}"
    path = spec_file(MIX.replace(line, new))
    code, out, err = run("mix", "build", str(path))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
    assert str(path) in err
    assert not workspace.child("mixtures").exists()


def test_a_cap_below_a_fixed_share_is_refused(
    two: None, run: Run, spec_file: Callable[..., Path]
) -> None:
    wrong = MIX + "caps: {cot: 0.1 %}\nshares: {cot: {declared: 5 %}}\n"
    code, _, err = run("mix", "plan", str(spec_file(wrong)))
    assert code == 2
    assert "caps.cot is 0.001, below shares.cot.declared" in err


def test_what_was_never_published_is_listed(
    two: None, run: Run, spec_file: Callable[..., Path], workspace: Workspace
) -> None:
    path = spec_file(MIX + "  gone: {corpus: gone, unpublished: a prepared file}\n")
    code, _, err = run("mix", "build", str(path))
    assert code == 2
    assert "gone: a prepared file" in err
    assert not workspace.mixture("t").exists("lock.json")
    code, out, _ = run("mix", "build", str(path), "--partial")
    assert code == 0
    assert "unpublished: gone: a prepared file" in out


def test_import_writes_a_spec(run: Run, tmp_path: Path, spec_file: Callable[..., Path]) -> None:
    entry = "{name: mine, modality: image, sampling_strategy: all, quality: '5'}"
    path = spec_file(f"datasets: [{entry}]", "released.yaml")
    code, out, _ = run("mix", "import", str(path), "-o", str(tmp_path / "spec.yaml"))
    assert code == 0
    assert "not converted: quality of 1 entries" in out
    assert "unpublished" in (tmp_path / "spec.yaml").read_text()


def test_a_subset_that_is_not_there_is_told_from_those_that_are(
    two: None, run: Run, spec_file: Callable[..., Path]
) -> None:
    path = spec_file(MIX.replace("{corpus: easy-vqa}", "{corpus: easy-vqa, subset: trian}"))
    code, out, _ = run("mix", "plan", str(path))
    said = "no sample of easy-vqa is available: it has no subset 'trian', but "
    assert code == 0
    assert f"warning: image: {said}" in out
    code, _, err = run("mix", "build", str(path))
    assert code == 2
    assert said in err


def test_a_corpus_that_is_not_curated_is_named_before_any_is_counted(
    two: None, run: Run, spec_file: Callable[..., Path], workspace: Workspace
) -> None:
    path = spec_file(MIX + "  more: {corpus: moving-shapes}\n")
    workspace.child("counts").remove_tree()
    code, _, err = run("mix", "build", str(path))
    assert code == 1
    assert "not curated in" in err
    assert "moving-shapes" in err
    assert not workspace.child("counts").exists()


def test_a_mixture_misspelt_gets_the_nearest(two: None, run: Run, workspace: Workspace) -> None:
    workspace.mixture("demo").write_json("lock.json", {})
    code, _, err = run("mix", "diff", "demoo", "demo")
    assert code == 2
    assert err.endswith("; available: demo; did you mean 'demo'?\n")
