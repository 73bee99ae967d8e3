"""Ink is read as strokes and drawn so that a person can read it."""

import io

import pytest
from PIL import Image

from smolmix.pipelines.formats.format import UnreadableRow
from smolmix.pipelines.formats.inkml import draw, parse_ink, with_picture

INK = b"""<ink xmlns="http://www.w3.org/2003/InkML">
<annotation type="label">x^2</annotation><annotation type="sampleId">7</annotation>
<trace id="0">0 0 0.1, 10 20 0.2,20 0 0.3</trace><trace id="1"> </trace><trace id="2">5 5</trace>
</ink>"""


def test_annotations_and_strokes_are_read_and_empty_strokes_skipped() -> None:
    assert parse_ink("train/7.inkml", INK) == {
        "name": "train/7.inkml",
        "label": "x^2",
        "sampleId": "7",
        "strokes": [[(0, 0), (10, 20), (20, 0)], [(5, 5)]],
    }


@pytest.mark.parametrize(
    "data", [INK[:-9], INK.replace(b"10 20 0.2", b"10"), b'<!DOCTYPE a [<!ENTITY b "c">]>']
)
def test_broken_ink_and_document_types_are_unreadable(data: bytes) -> None:
    found = parse_ink("a", data)
    assert isinstance(found, UnreadableRow)
    assert found.reason == "ink-broken"


@pytest.mark.parametrize(("width", "height"), [(100, 50), (50, 100), (3, 3), (100, 0)])
def test_the_picture_keeps_the_aspect_ratio_and_has_black_ink(width: int, height: int) -> None:
    image = Image.open(io.BytesIO(draw([[(0, 0), (width, height)], [(width, 0)]])))
    assert max(image.size) == 768
    assert image.getextrema() == (0, 255)
    inner = [edge - 32 for edge in image.size]
    if height:
        assert inner[0] / inner[1] == pytest.approx(width / height, rel=0.01)


def test_a_member_with_ink_also_gives_its_picture() -> None:
    names = [name for name, _ in with_picture("train/7.inkml", INK)]
    assert names == ["train/7.inkml", "train/7.png"]
    assert [name for name, _ in with_picture("readme.txt", b"x")] == ["readme.txt"]
    assert [name for name, _ in with_picture("8.inkml", b"<ink")] == ["8.inkml"]
