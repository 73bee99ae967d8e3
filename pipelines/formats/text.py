"""Bytes to text: UTF-8 first, then the one legacy encoding that web data really uses."""

import codecs

from smolmix.pipelines.formats.format import Fault

_BOM = b"\xef\xbb\xbf"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Windows' "Unicode"


def decode(data: bytes) -> str | Fault:
    """Return the text; UTF-8 with or without a mark, UTF-16 with one, else Windows-1252.

    Bytes that Windows-1252 leaves undefined are a fault, never replaced in silence.
    """
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        try:
            return data.decode("utf-16" if data.startswith(_WIDE) else "cp1252")
        except UnicodeDecodeError:
            return Fault(reason="text-undecodable", detail=str(error)[:200])
