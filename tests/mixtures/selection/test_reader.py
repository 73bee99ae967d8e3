"""The one reader of a selection: what it returns, and what it refuses."""

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.selections import Row, put_mixture, selection_table

from smolmix.errors import DataError, IncompleteError, IntegrityError, StaleError, UsageError
from smolmix.mixtures.selection.lock import LOCK_FILE, CorpusLock, read_lock
from smolmix.mixtures.selection.reader import (
    SELECTION_FILE,
    current_selection,
    is_built,
    mixture_folder,
    read_selection,
    selection_digest,
    write_selection,
)
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record

Corpus = Callable[..., None]
ROWS: list[Row] = [("a/1", "a", "part-00000", 1, 0), ("a/0", "a", "part-00000", 0, 0)]


@pytest.fixture
def built(corpus: Corpus, workspace: Workspace) -> Workspace:
    corpus("a", 3)
    digest = stage_record(workspace.curated("a")).digest
    put_mixture(workspace.mixture("m"), ROWS, corpora={"a": CorpusLock(curated=digest, counts="")})
    return workspace


def test_samples_come_in_order_with_their_position(built: Workspace) -> None:
    found = current_selection(built, "m")
    assert found.samples.columns == ["sample", "id", "corpus", "part", "row", "repeat"]
    assert found.samples.rows() == [(i, *row) for i, row in enumerate(ROWS)]
    assert found.lock.samples == 2


@pytest.mark.parametrize("name", [LOCK_FILE, SELECTION_FILE])
def test_a_mixture_without_both_files_is_not_built(built: Workspace, name: str) -> None:
    folder = built.mixture("m")
    folder.remove(name)
    assert not is_built(folder)
    with pytest.raises(DataError, match=rf"no {name}; run `smolmix mix build` first"):
        current_selection(built, "m")
    with pytest.raises(UsageError, match="no built mixture of that name"):
        mixture_folder("m", built)


def test_a_selection_of_another_build_is_refused(built: Workspace) -> None:
    folder = built.mixture("m")
    write_selection(folder, [selection_table(reversed(ROWS))], 0)
    with pytest.raises(IntegrityError, match=r"lock\.json says .*run `smolmix mix build` again"):
        read_selection(folder)


def test_a_corpus_that_was_curated_again_makes_it_stale(built: Workspace, corpus: Corpus) -> None:
    corpus("a", 4)
    with pytest.raises(StaleError, match=r"m: the selection was made from .*a was curated again"):
        current_selection(built, "m")
    assert read_selection(built.mixture("m")).samples.height == 2  # compared with the lock alone


def test_media_that_are_not_fetched_are_refused_where_they_are_needed(built: Workspace) -> None:
    folder = built.mixture("m")
    lock = read_lock(folder).to_json()
    folder.write_json(LOCK_FILE, {**lock, "not_fetched": {"a": 2}, "spec_file": "m.yaml"})
    assert current_selection(built, "m").samples.height == 2
    with pytest.raises(IncompleteError, match=r"2 selected samples .*fetch a --for m`.*m\.yaml"):
        current_selection(built, "m", media=True)


def test_a_mixture_is_found_by_name_by_folder_and_by_its_lock(built: Workspace) -> None:
    folder = built.mixture("m")
    for name in ("m", folder.path, folder.at(LOCK_FILE)):
        assert mixture_folder(name, built).path == folder.path


@given(st.lists(st.tuples(st.text(max_size=9), st.integers(0, 9), st.integers(0, 3)), max_size=20))
def test_the_digest_is_that_of_the_content_not_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, int, int]]
) -> None:
    table = selection_table((i, f"c{r % 2}", "p", r, n) for i, r, n in values)
    folder = Folder(str(tmp_path_factory.mktemp("mixture")))
    pieces = [table.slice(i, 3) for i in range(0, table.num_rows, 3)]
    digest = write_selection(folder, [table], 5)
    assert write_selection(folder, pieces, 5) == digest
    out = io.BytesIO()
    plain = table.cast(pa.schema([(f.name, _plain(f.type)) for f in table.schema]))
    pq.write_table(plain, out, compression="none", row_group_size=2)
    folder.write_bytes(SELECTION_FILE, out.getvalue())
    assert selection_digest(folder, 5) == digest
    if values:
        assert write_selection(folder, [table.slice(1)], 5) != digest
        assert write_selection(folder, [table], 6) != digest


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
