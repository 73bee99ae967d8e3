"""Bytes become the text that was meant, or a reason."""

import pytest

from smolmix.pipelines.formats.format import UnreadableRow
from smolmix.pipelines.formats.text import decode, parse_object


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Grüße, 한글"),
        ("utf-8-sig", "Grüße"),
        ("utf-16", "Grüße, 한글"),
        ("cp1252", "Grüße – naïve €"),
    ],
)
def test_text_of_these_encodings_is_read(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_bytes_of_no_encoding_are_a_reason_and_never_replaced() -> None:
    found = decode(b"a\x81b")
    assert isinstance(found, UnreadableRow)
    assert found.reason == "text-undecodable"


def test_an_object_is_parsed_and_nothing_else() -> None:
    assert parse_object(b'\xef\xbb\xbf {"a": [1, "\\u00e9"]} ') == {"a": [1, "é"]}
    for data, reason in (
        (b"3", "row-not-object"),
        (b'{"a": 1', "json-broken"),
        (b"", "json-broken"),
    ):
        found = parse_object(data)
        assert isinstance(found, UnreadableRow)
        assert found.reason == reason
