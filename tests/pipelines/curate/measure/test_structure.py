"""Damage is seen in the container, without decoding."""

import io

import numpy as np
import pytest
from PIL import Image

from smolmix.pipelines.curate.measure import structure


def encoded(kind: str, **options: object) -> bytes:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


KINDS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_file_has_no_damage(kind: str) -> None:
    data = encoded(kind)
    assert structure.image_damage(data) == ""
    assert structure.looks_like(data) == kind.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_in_its_second_half_is_truncated(kind: str) -> None:
    data, cuts = encoded(kind), 0
    for size in range(len(data) // 2, len(data) - 2, max(1, len(data) // 50)):
        damage = structure.image_damage(data[:size])
        # A cut GIF whose last byte happens to be the trailer's cannot be told.
        if kind != "GIF" or data[size - 1 : size] not in (b";", b"\0"):
            assert damage.startswith("truncated: "), size
            cuts += 1
    assert cuts > 20


def test_a_jpeg_may_be_followed_by_a_film() -> None:
    data = encoded("JPEG") + b"\0" * 9000
    assert structure.image_damage(data) == ""
    cut = encoded("JPEG", quality=95)[:-200] + b"\0" * 9000
    assert structure.image_damage(cut) == "truncated: no end-of-image marker"


def test_a_changed_byte_of_a_png_breaks_its_checksum() -> None:
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 1
    assert structure.image_damage(bytes(data)) == "corrupt: checksum of chunk IDAT"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html><p>", "html"),
        (b"\xef\xbb\xbf  <html>", "html"),
        (b"<?xml version='1.0'?><svg/>", "svg"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"%PDF-1.7", "pdf"),
        (b"PK\x03\x04", "zip"),
        (b"\x00\x00\x00\x18ftypmp42", "mp4"),
        (b"\x00\x00\x00\x18ftypavif", "avif"),
        (b"RIFF\x00\x00\x00\x00AVI ", "avi"),
        (b'{"error": 404}', "json"),
        (b"version https://git-lfs.github.com/spec/v1", "git-lfs pointer"),
        (b"plain words", ""),
    ],
)
def test_the_first_bytes_say_what_a_file_is(data: bytes, kind: str) -> None:
    assert structure.looks_like(data) == kind
