"""Whether a file is complete, by its container; no pixel is decoded.

Decoders hide damage: libjpeg fills a cut picture with grey, and libpng ignores a missing end.
"""

import re
import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# A marker. In the data of a scan, 0xFF is followed by 0 or is a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_ISO_BRANDS = (b"ftyp", b"moov", b"mdat", b"free", b"wide")


def looks_like(data: bytes) -> str:
    """Return what the first bytes say the file is: "png", "html", "mp4", ..., or ""."""
    head = data[:512]
    for kind, magic in (
        ("png", _PNG),
        ("jpeg", _JPEG),
        ("gif", b"GIF8"),
        ("bmp", b"BM"),
        ("pdf", b"%PDF"),
        ("zip", b"PK\x03\x04"),
        ("gzip", b"\x1f\x8b"),
        ("matroska", b"\x1aE\xdf\xa3"),
        ("mpeg", b"\x00\x00\x01\xba"),
        ("git-lfs pointer", b"version https://git-lfs"),
    ):
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi"}.get(head[8:12], "riff")
    if head[4:8] in _ISO_BRANDS:
        return "avif" if head[8:12] in (b"avif", b"avis", b"heic", b"mif1") else "mp4"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "html"
    if text.startswith((b"<?xml", b"<svg")):
        return "svg" if b"<svg" in text else "xml"
    return "json" if text.startswith((b"{", b"[")) else ""


def image_damage(data: bytes) -> str:
    """Return "truncated: ..." or "corrupt: ..." where the container shows it, else ""."""
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(_JPEG) and b"\xff\xd9" not in data[-4096:] and not _jpeg_ends(data):
        return "truncated: no end-of-image marker"
    if data.startswith(b"GIF8") and data.rstrip(b"\x00")[-1:] != b";":
        return "truncated: no GIF trailer"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        size = struct.unpack("<I", data[4:8])[0] + 8
        return f"truncated: {len(data)} of {size} bytes" if len(data) < size else ""
    if data.startswith(b"BM") and len(data) >= 14:
        size = struct.unpack("<I", data[2:6])[0]
        return f"truncated: {len(data)} of {size} bytes" if 0 < len(data) < size else ""
    return ""


def _jpeg_ends(data: bytes) -> bool:
    """Whether the picture ends before the file does: phones append a film to their pictures.

    Markers are followed, not searched for: a thumbnail among them has an end of its own.
    """
    at = 2
    while found := _MARKER.search(data, at):
        kind = data[found.end() - 1]
        if kind == 0xD9:
            return True
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        at = found.end() + length
    return False


def _is_zlib(head: bytes) -> bool:
    return len(head) == 2 and head[0] & 15 == 8 and (head[0] << 8 | head[1]) % 31 == 0


def _png(data: bytes) -> str:
    at, seen = len(_PNG), set[bytes]()
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            return f"truncated: chunk {kind.decode('latin-1')} needs {end - len(data)} more bytes"
        if kind[0:1].isupper() or kind == b"IEND":  # ancillary chunks cannot spoil the picture
            stored = struct.unpack(">I", data[end - 4 : end])[0]
            if zlib.crc32(data[at + 4 : end - 4]) != stored:
                return f"corrupt: checksum of chunk {kind.decode('latin-1')}"
        if kind == b"IDAT" and kind not in seen and not _is_zlib(data[at + 8 : at + 10]):
            return "corrupt: its data is not a zlib stream"
        seen.add(kind)
        if kind == b"IEND":
            return "" if b"IDAT" in seen else "corrupt: no image data"
        at = end
    return "truncated: no IEND chunk"
