"""The verbs tokenize, verify and export, as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.errors import IntegrityError, UsageError
from smolmix.storage import Workspace


def _call(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in words else result.stdout


def test_tokenize_verify_and_export(filled: Workspace, tmp_path: Path) -> None:
    here = ("--workspace", filled.path)
    asked = ("tokenize", "m", "--profile", "nano", "--tokens", "512", "--workers", "0", *here)
    made = _call(*asked, "--json")
    assert made["documents"] == 72
    assert made["new_samples"] == 69
    assert made["dropped"] == {}
    assert "new: 0 samples, 0 images and clips" in _call(*asked)
    checked = _call("verify", made["folder"], "--sample", "1", "--json", *here)
    assert checked["samples_derived_anew"] >= 69
    assert "right" in _call("verify", "curated/seen", *here)
    below = Path(made["folder"]).relative_to(filled.path)
    out = _call("export", str(below), "--to", "webdataset", "-o", str(tmp_path), "--json", *here)
    assert out["sequences"] == made["sequences"]
    assert all((tmp_path / f).exists() for f in out["files"])
    shard = max(Path(filled.path, "ids").rglob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match=shard.name):
        _call("verify", made["folder"], *here)
    assert _call(*asked, "--json")["digest"] == made["digest"]


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
