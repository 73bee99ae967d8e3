"""Media are read wherever they lie, and what is missing is named."""

import io
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.sample import MediaRef
from smolmix.workspace import Workspace

BLOBS = [bytes([i]) * (50 + i) for i in range(10)]


@pytest.fixture
def reader(workspace: Workspace) -> MediaReader:
    raw = workspace.raw("c")
    raw.write_bytes("plain.jpg", BLOBS[0])
    cells = [[{"bytes": b, "path": None}, {"bytes": None, "path": "x"}] for b in BLOBS]
    flat = [{"bytes": b, "path": "p"} for b in BLOBS]
    pq.write_table(
        pa.table({"images": cells, "image": flat, "mp4": BLOBS}),
        raw.local("rows.parquet"),
        row_group_size=3,
    )
    with zipfile.ZipFile(raw.local("a.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dir/7.png", BLOBS[7])
    with tarfile.open(raw.local("a.tar"), "w") as tar:
        info = tarfile.TarInfo("8.png")
        info.size = len(BLOBS[8])
        tar.addfile(info, io.BytesIO(BLOBS[8]))
    return MediaReader(workspace)


def test_every_kind_of_reference_is_read(reader: MediaReader, workspace: Workspace) -> None:
    assert reader.read(MediaRef(uri="raw/c/plain.jpg")) == BLOBS[0]
    assert reader.read(MediaRef(uri="raw/c/a.zip", member="dir/7.png")) == BLOBS[7]
    with tarfile.open(workspace.raw("c").local("a.tar")) as tar:
        offset = tar.getmember("8.png").offset_data
    ref = MediaRef(uri="raw/c/a.tar", member="8.png", offset=offset, bytes=len(BLOBS[8]))
    assert reader.read(ref) == BLOBS[8]
    for row in (9, 0, 4, 3, 8):  # out of order, across row groups
        uri = "raw/c/rows.parquet"
        assert reader.read(MediaRef(uri=uri, row=row, column="images", index=0)) == BLOBS[row]
        assert reader.read(MediaRef(uri=uri, row=row, column="image")) == BLOBS[row]
        assert reader.read(MediaRef(uri=uri, row=row, column="mp4")) == BLOBS[row]


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        (MediaRef(uri="raw/c/gone.jpg"), "gone.jpg: no such file"),
        (MediaRef(uri="raw/c/gone.parquet", row=0, column="a"), "gone.parquet: no such file"),
        (MediaRef(uri="raw/c/gone.zip", member="a"), "gone.zip: no such file"),
        (MediaRef(uri="raw/c/a.zip", member="dir/8.png"), "no member 'dir/8.png'"),
        (MediaRef(uri="raw/c/rows.parquet", row=10, column="mp4"), "no row 10; the file has 10"),
        (MediaRef(uri="raw/c/rows.parquet", row=1, column="images", index=1), "no bytes"),
        (MediaRef(uri="raw/c/rows.parquet", row=1, column="images", index=5), "no item 5"),
        (MediaRef(uri="raw/c/rows.parquet", row=1, column="img"), "no column 'img'"),
        (MediaRef(uri="raw/c/a.tar", member="m", offset=10**6, bytes=4), "is cut: 0 of 4 bytes"),
    ],
)
def test_what_is_missing_is_named(reader: MediaReader, ref: MediaRef, says: str) -> None:
    with pytest.raises(DataError, match=says.replace(".", r"\.")):
        reader.read(ref)


def test_what_is_damaged_is_named_and_no_accident(workspace: Workspace) -> None:
    raw = workspace.raw("c")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("whole.png", BLOBS[1])
        archive.writestr("torn.png", bytes(range(256)) * 20)
    data = bytearray(stream.getvalue())
    at = data.index(b"torn.png") + 40
    data[at : at + 8] = bytes(8)
    raw.write_bytes("torn.zip", bytes(data))
    table = pa.table({"mp4": [bytes([i]) * 999 for i in range(40)]})
    pq.write_table(table, raw.local("torn.parquet"), row_group_size=20, compression="zstd")
    pages = bytearray(raw.read_bytes("torn.parquet"))
    pages[30:90] = bytes(60)
    raw.write_bytes("torn.parquet", bytes(pages))
    raw.write_bytes("text.parquet", b"404 not found")
    reader = MediaReader(workspace)
    assert reader.read(MediaRef(uri="raw/c/torn.zip", member="whole.png")) == BLOBS[1]
    for ref, says in (
        (MediaRef(uri="raw/c/torn.zip", member="torn.png"), "torn.png cannot be unpacked"),
        (MediaRef(uri="raw/c/torn.parquet", row=3, column="mp4"), "row group 0 cannot be read"),
        (MediaRef(uri="raw/c/text.parquet", row=3, column="mp4"), "not a parquet file"),
    ):
        with pytest.raises(DataError, match=says):
            reader.read(ref)
    assert reader.read(MediaRef(uri="raw/c/torn.parquet", row=25, column="mp4"))[0] == 25
