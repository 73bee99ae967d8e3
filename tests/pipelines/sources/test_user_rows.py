"""Rows of a user's own data are read by the fields they have."""

from typing import Any

import pytest

from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.user_rows import UserRow
from smolmix.sample import MediaRef, Sample


def _adapt(root: str = "", **values: Any) -> Sample:
    row = Row(values=values, corpus="c", licence="MIT", path="raw/c/local/d/a.tar", file_row=0)
    (sample,) = UserRow(category="vqa", root=root)(row)
    return sample


def _texts(sample: Sample) -> list[str]:
    return [t.text for t in sample.turns]


CHAT = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]


def test_chats_pairs_and_captions_are_read() -> None:
    assert _texts(_adapt(conversations=CHAT)) == ["Q", "A"]
    openai = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    assert _texts(_adapt(messages=openai)) == ["Q", "A"]
    assert _texts(_adapt(texts=[{"user": "Q", "assistant": "A"}])) == ["Q", "A"]
    assert _texts(_adapt(caption="A document.")) == ["A document."]
    captioned = _adapt(image="a.png", caption="A cat.")
    assert _texts(captioned)[1] == "A cat."
    assert captioned.turns[0].parts[0].media == 0


def test_parts_of_a_message_say_where_media_are() -> None:
    parts = [{"type": "text", "text": "See"}, {"type": "image"}, {"type": "text", "text": "this"}]
    chat = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A"}]
    sample = _adapt(messages=chat, image="a.png")
    assert [p.text if p.media is None else p.media for p in sample.turns[0].parts] == [
        "See",
        0,
        "this",
    ]
    parts[1] = {"type": "audio"}
    with pytest.raises(RowError, match="audio"):
        _adapt(messages=chat, image="a.png")


@pytest.mark.parametrize(
    ("values", "names", "kinds"),
    [
        ({"image": "./a.png"}, ["a.png"], ["image"]),
        ({"image": "x\\a.png"}, ["x/a.png"], ["image"]),
        ({"image": {"path": "a.png", "bytes": None}}, ["a.png"], ["image"]),
        ({"image": ["a.png", "b.mp4"]}, ["a.png", "b.mp4"], ["image", "video"]),
        ({"images": ["a.png", "b.png"]}, ["a.png", "b.png"], ["image", "image"]),
        ({"video": "frames/1"}, ["frames/1"], ["video"]),
        ({"image": "/data/media/a.png"}, ["a.png"], ["image"]),
    ],
)
def test_media_are_named_from_the_folder_of_media(
    values: dict[str, Any], names: list[str], kinds: list[str]
) -> None:
    sample = _adapt("/data/media", conversations=CHAT, **values)
    assert [m.names[0] for m in sample.media] == names
    assert [m.kind for m in sample.media] == kinds


def test_media_of_a_tar_keep_its_order_and_place() -> None:
    refs = [MediaRef(uri="d/1.tar", member=f"k.{n}", offset=n, bytes=9) for n in (2, 10)]
    video = MediaRef(uri="d/1.tar", member="k.mp4", offset=512, bytes=9)
    sample = _adapt(conversations=CHAT, _media=(*refs, video))
    assert [m.refs for m in sample.media] == [(ref,) for ref in (*refs, video)]
    assert [m.kind for m in sample.media] == ["image", "image", "video"]


def test_a_row_without_text_names_its_image_and_what_is_needed() -> None:
    with pytest.raises(RowError, match=r"a\.png: one of conversations") as caught:
        _adapt(image="a.png")
    assert caught.value.reason == "field-missing"
