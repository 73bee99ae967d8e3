"""Bytes to text: UTF-8 first, then the one legacy encoding that web data really uses."""

from smolmix.pipelines.layouts.layout import Fault

_BOM = b"\xef\xbb\xbf"


def decode(data: bytes) -> str | Fault:
    """Return the text; UTF-8 with or without a mark, else Windows-1252.

    Bytes that Windows-1252 leaves undefined are a fault, never replaced in silence.
    """
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return Fault(reason="text-undecodable", detail=str(error)[:200])
