"""The verbs tokenize, verify and export, as a person types them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.errors import IncompleteError, IntegrityError, UsageError
from smolmix.profiles import Profile, ProfileChoice
from smolmix.tokenize.shards.packing_plan import PackingRecord
from smolmix.workspace import Workspace


def _call(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in words else result.stdout


def test_tokenize_verify_and_export(filled: Workspace, tmp_path: Path) -> None:
    here = ("--workspace", filled.path)
    command = ("tokenize", "m", "--sequence-length", "512", "--workers", "0", *here)
    made = _call(*command, "--json")
    assert made["documents"] == 72
    assert made["new_samples"] == 69
    assert made["dropped"] == {}
    assert "newly tokenized: 0 samples, 0 images and clips" in _call(*command)
    checked = _call("verify", made["folder"], "--sample", "1", "--json", *here)
    assert checked["samples_tokenized_again"] >= 69
    assert ": no errors" in _call("verify", "curated/seen", *here)
    below = Path(made["folder"]).relative_to(filled.path)
    out = _call("export", str(below), "--to", "webdataset", "-o", str(tmp_path), "--json", *here)
    assert out["sequences"] == made["sequences"]
    assert all((tmp_path / f).exists() for f in out["files"])
    shard = max(Path(filled.path, "ids").rglob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match=shard.name):
        _call("verify", made["folder"], *here)
    assert _call(*command, "--json")["digest"] == made["digest"]


def test_the_profile_is_that_of_the_spec_unless_overridden(filled: Workspace) -> None:
    chosen = {
        "preset": "nano", "style": "inference",
        "pixel": {"split": False, "exif": "apply"}, "chat": {"loss": "full"},
    }  # fmt: skip
    folder = filled.mixture("m")
    lock = folder.read_json("lock.json")
    folder.write_json("lock.json", {**lock, "spec": {"profile": chosen}})
    command = (
        "tokenize",
        "m",
        "--sequence-length",
        "512",
        "--workers",
        "0",
        "--workspace",
        filled.path,
    )

    def made(*words: str) -> Profile:
        below = Path(_call(*command, *words, "--json")["folder"]).relative_to(filled.path)
        return PackingRecord.read(filled.child(str(below))).profile

    found = made()
    assert found == ProfileChoice.model_validate(chosen).profile()
    assert found.pixel.exif == "apply"
    assert made("--profile", "nano", "--style", "inference") == found
    assert made("--codec", "png").pixel == replace(found.pixel, codec="png")
    for words in (("--style", "paper"), ("--profile", "256m"), ("--profile", "2.2b")):
        with pytest.raises(UsageError, match=r"was solved for the profile \(nano, inference, "):
            _call(*command, *words)
    assert made("--style", "paper", "--override").chat == replace(found.chat, style="paper")
    folder.write_json("lock.json", {**lock, "spec": {"profile": {"preset": "nano"}}})
    with pytest.raises(UsageError, match=r"\(nano, released\); \(nano, inference\) was requested"):
        _call(*command, "--style", "inference")
    assert made().chat.style == "released"


def test_a_mixture_that_is_not_built_is_named(workspace: Workspace) -> None:
    with pytest.raises(IncompleteError, match="run `smolmix mix build` first"):
        _call("tokenize", "none", "--workers", "0", "--workspace", workspace.path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--style", "papr"), "did you mean 'paper'"),
        (("--profile", "256"), "did you mean '256m'"),
        (("--codec", "webp"), "known: source, raw, png"),
        (("--resize", "bicubic"), "exact or fast"),
    ],
)
def test_wrong_words_are_refused_with_what_is_allowed(
    filled: Workspace, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _call("tokenize", "m", *words, "--workers", "0", "--workspace", filled.path)
