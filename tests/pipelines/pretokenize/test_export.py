"""Exports hold what the loader gives; shards are read by what people already have."""

import io
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from smolmix.errors import UsageError
from smolmix.pipelines.pretokenize.export import export
from smolmix.pipelines.pretokenize.run import Tokenized
from smolmix.tokenize.loader import SequenceDataset
from smolmix.workspace import Workspace


@pytest.fixture
def dataset(filled: Workspace, tokenized: Tokenized) -> SequenceDataset:
    return SequenceDataset(filled, tokenized.folder)


def test_parquet_is_loaded_by_datasets_with_the_same_content(
    dataset: SequenceDataset, filled: Workspace, tokenized: Tokenized, tmp_path: Path
) -> None:
    import datasets

    out = export(filled, tokenized.folder, tmp_path / "out", "parquet", per_file=7)
    assert out.sequences == len(dataset)
    assert len(out.files) == -(-len(dataset) // 7)
    files = [str(tmp_path / "out" / f) for f in out.files]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(loaded) == len(dataset)
    for i, row in enumerate(loaded):
        item = dataset[i]
        for name in ("input_ids", "labels", "position_ids", "boundaries"):
            assert row[name] == item[name].tolist()
        tiles = [np.asarray(Image.open(io.BytesIO(b))) for b in row["tiles"]]
        assert len(tiles) == len(item["tiles"])
        for ours, theirs in zip(item["tiles"].permute(0, 2, 3, 1).numpy(), tiles, strict=True):
            assert np.array_equal(ours, theirs)


def test_webdataset_tars_hold_one_group_of_members_a_sequence(
    dataset: SequenceDataset, filled: Workspace, tokenized: Tokenized, tmp_path: Path
) -> None:
    out = export(filled, tokenized.folder, tmp_path, "webdataset", per_file=10, codec="jpeg:90")
    seen: dict[str, dict[str, bytes]] = {}
    for name in out.files:
        with tarfile.open(tmp_path / name) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                stream = tar.extractfile(member)
                assert stream is not None
                seen.setdefault(key, {})[kind] = stream.read()
    assert list(seen) == [f"{i:09d}" for i in range(len(dataset))]
    for i, group in enumerate(seen.values()):
        item = dataset[i]
        assert np.load(io.BytesIO(group["ids.npy"])).tolist() == item["input_ids"].tolist()
        assert sum(k.endswith(".jpg") for k in group) == len(item["tiles"])


def test_an_export_leaves_nothing_of_one_before(
    dataset: SequenceDataset, filled: Workspace, tokenized: Tokenized, tmp_path: Path
) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / "mine.txt").write_text("kept")
    export(filled, tokenized.folder, place, "webdataset", per_file=1)
    export(filled, tokenized.folder, place, "parquet", per_file=1)
    out = export(filled, tokenized.folder, place, "parquet", per_file=10)
    assert len(out.files) < len(dataset)
    assert {p.name for p in place.iterdir()} == {*out.files, "export.json", "mine.txt"}


def test_an_unknown_form_or_codec_is_refused(
    dataset: SequenceDataset, filled: Workspace, tokenized: Tokenized, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--to csv; known: webdataset, parquet"):
        export(filled, tokenized.folder, tmp_path, "csv")  # type: ignore[arg-type]  # any text, not a literal
    for codec in ("raw", "source", "jpeg:abc", "jpeg:101", "webp"):
        with pytest.raises(UsageError, match=r"codec .*jpeg:1 to jpeg:100"):
            export(filled, tokenized.folder, tmp_path, "parquet", codec=codec)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"--output .*file: File exists; name a folder"):
        export(filled, tokenized.folder, tmp_path / "file", "parquet")


def test_shards_are_read_by_pyarrow_polars_and_datasets(
    dataset: SequenceDataset, filled: Workspace, tokenized: Tokenized, tmp_path: Path
) -> None:
    import datasets

    name = dataset.record.ids_shards[0]
    path = filled.local(name)
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    assert pl.read_ipc(path)["id"].to_list() == table["id"].to_pylist()
    loaded = datasets.load_dataset(
        "arrow", data_files=str(path), split="train", cache_dir=str(tmp_path)
    )
    assert loaded["id"][:] == table["id"].to_pylist()
    metadata = table.schema.metadata
    assert metadata[b"smolmix.shard_version"] == b"1"
    assert metadata[b"smolmix.profile"].decode() == dataset.record.profile.name
    tiles = pl.concat(pl.read_ipc(filled.local(name)) for name in dataset.record.tile_shards)
    assert set(tiles["codec"]) == {"source", "jpeg:95"}
    assert len(tiles) == 8
