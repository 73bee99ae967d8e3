"""`verify` compares files by digest and computes rows again; damage is named and withdrawn."""

import shutil
from pathlib import Path

import pytest
from tests.support.small_workspace import image_bytes

from smolmix.engine.stage import RunOptions
from smolmix.errors import IncompleteError, IntegrityError
from smolmix.pipelines.pretokenize.run import Tokenized, tokenize_mixture
from smolmix.pipelines.pretokenize.verify import verify
from smolmix.profiles import Profile
from smolmix.workspace import Workspace


def test_an_undamaged_plan_is_counted(filled: Workspace, tokenized: Tokenized) -> None:
    every = verify(tokenized.folder, filled, sample=1.0)
    assert every.checked_rows == 69  # samples: a text in two sequences is one
    assert every.files > 5
    some = verify(tokenized.folder, filled, sample=0.0)
    assert every.files == some.files
    assert 1 <= some.checked_rows < 69


def test_two_damaged_files_are_both_named(filled: Workspace, tokenized: Tokenized) -> None:
    shards = [max(Path(filled.path, kind).rglob("*.arrow")) for kind in ("ids", "tiles")]
    for path in shards:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError) as raised:
        verify(tokenized.folder, filled)
    assert all(path.name in str(raised.value) for path in shards)


def test_after_damage_tokenizing_again_gives_the_same_plan(
    filled: Workspace, tokenized: Tokenized, nano: Profile
) -> None:
    path = tokenized.folder.local("plan.arrow")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match=r"plan\.arrow: missing or changed"):
        verify(tokenized.folder, filled)
    with pytest.raises(IncompleteError, match="run `smolmix tokenize` first"):
        verify(tokenized.folder, filled)
    again = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    assert (again.new_ids, again.new_tiles, again.record) == (0, 0, tokenized.record)
    assert verify(tokenized.folder, filled, sample=1.0).checked_rows == 69


def test_a_picture_that_changed_after_it_was_cut_is_found(
    filled: Workspace, tokenized: Tokenized
) -> None:
    pictures = sorted(Path(filled.path, "raw").rglob("*.png"))
    for path in pictures:
        width, height = map(int, path.stem.partition("-")[2].split("x"))
        path.write_bytes(image_bytes(width, height, 99))
    with pytest.raises(IntegrityError, match=r"is not what seen/.* is cut to now"):
        verify(tokenized.folder, filled, sample=1.0)
    assert len(pictures) == 6


def test_a_plan_that_does_not_exist_is_named(filled: Workspace, tokenized: Tokenized) -> None:
    shutil.rmtree(tokenized.folder.local())
    with pytest.raises(IncompleteError, match=r"no plan\.json"):
        verify(tokenized.folder, filled)
