"""Text and JSON objects from bytes, or the reason why there is none."""

import codecs
import json

from smolmix.pipelines.formats.format import UnreadableRow

_BOM = b"\xef\xbb\xbf"
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Windows' "Unicode"


def decode(data: bytes) -> str | UnreadableRow:
    """Return the text: UTF-8, UTF-16 if it starts with a byte order mark, else Windows-1252.

    Windows-1252 is the one legacy encoding that web data uses in practice. Bytes that it leaves
    undefined make the row unreadable; they are never replaced.
    """
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        try:
            return data.decode("utf-16" if data.startswith(UTF16_MARKS) else "cp1252")
        except UnicodeDecodeError:
            return UnreadableRow(reason="text-undecodable", detail=str(error)[:200])


def parse_object(data: bytes) -> dict[str, object] | UnreadableRow:
    """Return the JSON object that `data` holds."""
    text = decode(data)
    if isinstance(text, UnreadableRow):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return UnreadableRow(reason="json-broken", detail=f"{error}"[:200])
    if not isinstance(value, dict):
        return UnreadableRow(reason="row-not-object", detail=f"a {type(value).__name__}")
    if "\\ud" in text or "\\uD" in text:  # half a surrogate pair: no text column can hold it
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return UnreadableRow(reason="text-undecodable", detail="a lone surrogate")
    return value
