"""Any Arrow shape of the same meaning gives the same sample, from files as writers write them."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from smolmix.media import MediaReader
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.sources.catalogue import source_from
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.workspace import Workspace


def _png(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), level).save(out, "PNG")
    return out.getvalue()


CHAT = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
PAIR = [{"user": "Q", "assistant": "A"}]
PNG = [_png(1), _png(2)]
CELLS = [{"bytes": data, "path": None} for data in PNG]
MAP = pa.map_(pa.string(), pa.string())
CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

SHAPES: dict[str, dict[str, pa.Array]] = {
    "list of structs": {"conversations": pa.array([CHAT]), "images": pa.array([CELLS])},
    "struct of lists": {
        "conversations": pa.array([{"from": ["human", "gpt"], "value": ["Q", "A"]}]),
        "images": pa.array([CELLS]),
    },
    "pairs as a struct of lists": {
        "texts": pa.array([{"user": ["Q"], "assistant": ["A"]}]),
        "images": pa.array([CELLS]),
    },
    "pictures as a struct of lists": {
        "texts": pa.array([PAIR]),
        "images": pa.array([{"bytes": PNG, "path": [None, None]}]),
    },
    "JSON text": {"conversations": pa.array([json.dumps(CHAT)]), "images": pa.array([CELLS])},
    "a list of JSON texts": {
        "conversations": pa.array([[json.dumps(entry) for entry in CHAT]]),
        "images": pa.array([CELLS]),
    },
    "a list of maps": {
        "conversations": pa.array([[list(e.items()) for e in CHAT]], pa.list_(MAP)),
        "images": pa.array([CELLS]),
    },
    "dictionary": {
        "conversations": pa.array([json.dumps(CHAT)]).dictionary_encode(),
        "images": pa.array([CELLS]),
    },
    "large types": {
        "conversations": pa.array([json.dumps(CHAT)], pa.large_string()),
        "images": pa.array([PNG], pa.large_list(pa.large_binary())),
    },
    "a list of pictures in image": {
        "conversations": pa.array([CHAT]),
        "image": pa.array([CELLS], pa.list_(CELL)),
    },
    "a list of bytes in image": {"conversations": pa.array([CHAT]), "image": pa.array([PNG])},
}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("store_schema", [True, False])
def test_shapes_of_the_same_meaning_give_the_same_sample(
    tmp_path: Path, kind: str, store_schema: bool
) -> None:
    (tmp_path / "own").mkdir()
    table = pa.table(SHAPES[kind])
    pq.write_table(table, tmp_path / "own/x.parquet", store_schema=store_schema)
    entry: dict[str, Any] = {
        "id": "own", "path": str(tmp_path / "own"), "format": "parquet", "licence": "MIT"
    }  # fmt: skip
    source, workspace = source_from(entry), Workspace(tmp_path / "ws")
    fetch(source, workspace)
    (unit,) = raw_units(source, workspace)
    (adapted,) = read_unit(source, unit, workspace)
    assert not adapted.dropped
    (sample,) = adapted.samples
    assert [t.text for t in sample.turns] == ["Q", "A"]
    reader = MediaReader(workspace)
    assert [reader.read(m.refs[0]) for m in sample.media] == PNG
