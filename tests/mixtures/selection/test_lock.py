from collections.abc import Callable
from typing import Any

import pytest
from tests.support.selections import put_mixture

from smolmix.errors import DataError, IncompleteError
from smolmix.mixtures.selection.lock import (
    FORMAT,
    LOCK_FILE,
    CorpusLock,
    Lock,
    StratumLock,
    corpus_lock,
    read_lock,
)
from smolmix.profiles import profile
from smolmix.workspace import Workspace, stage_record


def test_what_is_written_is_read_again(workspace: Workspace) -> None:
    folder = workspace.mixture("m")
    lock = put_mixture(folder, [], corpora={"a": CorpusLock(curated="x", counts="y")})
    value: dict[str, Any] = lock.to_json()
    value["solution"] = [
        {"component": "a", "tags": {"cot": "none"}, "available": 3, "drawn": 2, "totals": {}}
    ]
    folder.write_json(LOCK_FILE, value)
    found = read_lock(folder)
    assert found.corpora == {"a": CorpusLock(curated="x", counts="y")}
    assert found.solution == (
        StratumLock(component="a", tags={"cot": "none"}, available=3, drawn=2, totals={}),
    )
    assert Lock.from_json(found.to_json(), "lock.json") == found


def test_a_lock_of_another_format_says_how_to_get_one_of_this(workspace: Workspace) -> None:
    folder = workspace.mixture("m")
    folder.write_json(LOCK_FILE, {"format": FORMAT - 1, "picks": "x"})
    with pytest.raises(DataError, match=rf"reads format {FORMAT}; run `smolmix mix build`"):
        read_lock(folder)


@pytest.mark.parametrize("change", [{"corpora": None}, {"solution": [{}]}, {"surprise": 1}])
def test_a_damaged_lock_is_refused(workspace: Workspace, change: dict[str, Any]) -> None:
    folder = workspace.mixture("m")
    lock = put_mixture(folder, [], corpora={})
    value = {k: v for k, v in {**lock.to_json(), **change}.items() if v is not None}
    folder.write_json(LOCK_FILE, value)
    with pytest.raises(DataError, match=r"lock\.json: not a lock"):
        read_lock(folder)


def test_the_state_of_a_corpus_is_that_of_its_stages(
    workspace: Workspace, corpus: Callable[..., None]
) -> None:
    name = profile("nano", style="inference").name
    with pytest.raises(IncompleteError):
        corpus_lock(workspace, "a", name)
    corpus("a", 3)
    assert corpus_lock(workspace, "a", name) == CorpusLock(
        curated=stage_record(workspace.curated("a")).digest,
        counts=stage_record(workspace.counts(name, "a")).digest,
        revision="r1",
        licence="MIT",
    )
