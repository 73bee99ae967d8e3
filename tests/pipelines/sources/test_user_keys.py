"""Rows as strangers' tools write them: right, refused or counted, and never silently wrong."""

from typing import Any

import pytest

from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.user_rows import UserRow
from smolmix.sample import Sample

A = {"role": "assistant", "content": "A"}


def _read(values: dict[str, Any], **options: Any) -> tuple[list[Sample], Row]:
    row = Row(values=values, corpus="c", licence="MIT", path="raw/c/local/a.json", file_row=0)
    return list(UserRow(category="vqa", **options)(row)), row


def _told(values: dict[str, Any]) -> list[list[str]]:
    """Return the turns of the one sample, each medium as the name of its file in brackets."""
    ((sample,), _) = _read(values)
    names = [[r.uri.removeprefix("find:") for r in m.refs] for m in sample.media]
    return [
        [f"[{'+'.join(names[p.media])}]" if p.text is None else p.text for p in turn.parts]  # type: ignore[index]  # not None here
        for turn in sample.turns
    ]


def _ask(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}, A], **more}


def _part(**values: Any) -> dict[str, Any]:
    return values


@pytest.mark.parametrize(
    "key",
    ["image", "images", "img", "image_path", "image_paths", "image_file", "picture", "imgs"],
)
@pytest.mark.parametrize("value", ["0.png", ["0.png"], {"path": "0.png"}, "file://0.png"])
def test_images_are_read_under_common_names(key: str, value: Any) -> None:
    assert _told(_ask("Q", **{key: value})) == [["[0.png]", "Q"], ["A"]]


@pytest.mark.parametrize("key", ["video", "videos", "video_path", "clip"])
@pytest.mark.parametrize("question", ["Q", "<video>\nQ", "<image>\nQ"])
def test_clips_are_read_under_common_names(key: str, question: str) -> None:
    assert _told(_ask(question, **{key: "0.mp4"})) == [["[0.mp4]", "Q"], ["A"]]


def test_a_list_of_images_is_one_clip_if_its_rate_is_known() -> None:
    frames = ["1.jpg", "2.jpg"]
    assert _told(_ask("<video>Q", video=frames, fps=2)) == [["[1.jpg+2.jpg]", "Q"], ["A"]]
    ((sample,), _) = _read(_ask("Q", videos=[frames, frames], fps=2))
    assert [(m.kind, m.frames, m.fps) for m in sample.media] == [("frames", 2, 2.0)] * 2
    with pytest.raises(RowError, match="frames-without-rate"):
        _read(_ask("Q", video=frames))


def test_images_and_clips_of_one_row_take_their_own_marks() -> None:
    both: dict[str, Any] = {"image": "0.png", "video": "0.mp4"}
    assert _told(_ask("Q", **both))[0] == ["[0.png]", "[0.mp4]", "Q"]
    assert _told(_ask("<video> then <image>", **both))[0] == ["[0.mp4]", "then", "[0.png]"]
    with pytest.raises(RowError, match="placeholder-mismatch"):
        _read(_ask("<image>\nQ", **both))


@pytest.mark.parametrize(
    ("question", "media", "wanted"),
    [
        ("Loop a clip with the <video> element?", {}, ["Loop a clip with the <video> element?"]),
        ("In SVG, which attribute of <image> names it?", {}, None),
        ("<image>\nPut a <video> element on top.", {"image": "0.png"},
         ["[0.png]", "Put a <video> element on top."]),
        ("<image>\nHow does SVG write <image> here?", {"image": "0.png"},
         ["[0.png]", "How does SVG write <image> here?"]),
        ("Is <image> like <image>?", {"images": ["0.png", "1.png"]},
         ["Is", "[0.png]", "like", "[1.png]", "?"]),
        ("How is `<image>` styled?", {"image": "0.png"}, ["[0.png]", "How is `<image>` styled?"]),
        ("How would an <image> in SVG move?", {"video": "0.mp4"},
         ["[0.mp4]", "How would an <image> in SVG move?"]),
    ],
)  # fmt: skip
def test_a_mark_inside_a_sentence_is_a_word_unless_the_numbers_agree(
    question: str, media: dict[str, Any], wanted: list[str] | None
) -> None:
    assert _told(_ask(question, **media))[0] == (wanted or [question])


@pytest.mark.parametrize(
    ("question", "media"),
    [
        ("<image>\nWhat is it?", {}),
        ("What is it? <image>", {}),
        ("<video>\nWhat moves?", {"image": "0.png"}),
        ("<image>\n<image>\nWhich?", {"image": "0.png"}),
    ],
)
def test_a_question_about_a_picture_that_is_gone_is_refused(
    question: str, media: dict[str, Any]
) -> None:
    with pytest.raises(RowError, match="placeholder-mismatch"):
        _read(_ask(question, **media))


def test_pairs_have_no_placeholders() -> None:
    pairs = [{"user": "<image> Q", "assistant": "A"}, {"user": "<video>?", "assistant": "B"}]
    turns = _told({"texts": pairs, "images": ["0.png"]})
    assert turns == [["[0.png]", "<image> Q"], ["A"], ["<video>?"], ["B"]]


@pytest.mark.parametrize(
    "part",
    [
        _part(type="image", image="0.png"),
        _part(type="image", url="0.png"),
        _part(type="image", path="0.png", text=None),
        _part(type="image_url", image_url={"url": "0.png"}),
        _part(image="0.png"),
    ],
)
def test_a_part_may_name_its_own_medium(part: dict[str, Any]) -> None:
    content = [_part(type="text", text="See "), part, _part(type="text", text=" \nhere <image> ")]
    assert _told(_ask(content))[0] == ["See ", "[0.png]", " \nhere <image> "]
    assert _told(_ask(content, images=["0.png"]))[0] == ["See ", "[0.png]", " \nhere <image> "]


def test_parts_and_media_that_differ_in_number_are_refused() -> None:
    for content, media in (
        ([_part(type="image"), _part(type="image")], ["0.png"]),
        ([_part(type="image")], ["0.png", "1.png"]),
        ([_part(type="video")], ["0.png"]),
    ):
        with pytest.raises(RowError, match="placeholder-mismatch"):
            _read(_ask(content, images=media))


@pytest.mark.parametrize("value", ["data:image/png;base64,iVBO", "iVBORw0KGgo" + "A" * 40])
def test_a_picture_inside_the_row_is_refused_by_name(value: str) -> None:
    with pytest.raises(RowError, match="media-inline"):
        _read(_ask("Q", image=value))
    with pytest.raises(RowError, match="media-inline"):
        _read(_ask([_part(type="image_url", image_url={"url": value})]))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"context": "Smith printed it."}, "context"),
        ({"left_image": "1.png"}, "left_image"),
        ({"audio": "a.wav"}, "audio"),
        ({"answer": "B"}, "answer"),
        ({"page": "1.png"}, "page"),
        ({"tools": [{"name": "zoom"}]}, "tools"),
    ],
)
def test_a_key_with_text_or_media_that_is_not_read_drops_the_row(
    more: dict[str, Any], named: str
) -> None:
    with pytest.raises(RowError, match=f"key-unread: {named}"):
        _read(_ask("Q", image="0.png", **more))
    _read(_ask("Q", image="0.png", **more), ignore=(named,))


def test_other_keys_are_counted_and_empty_ones_are_not() -> None:
    row = _ask("Q", image="0.png", source="x", text="", context=None, width=3, caption="A")
    (_, seen) = _read(row)
    assert seen.unread == {"source", "width", "caption"}  # the caption is the answer again


def test_several_keys_that_name_different_media_are_refused() -> None:
    with pytest.raises(RowError, match="key-conflict"):
        _read(_ask("Q", image="0.png", images=["1.png"]))
    assert _told(_ask("Q", image="0.png", images=["0.png"], image_path="/x/0.png"))[0][1] == "Q"
    assert _told(_ask("Q", images=[], image="0.png"))[0] == ["[0.png]", "Q"]


@pytest.mark.parametrize("flag", [{"loss": False}, {"weight": 0}, {"weight": 0.0}])
def test_an_answer_marked_so_is_not_supervised(flag: dict[str, Any]) -> None:
    chat = [{"role": "user", "content": "P"}, A | flag, {"role": "user", "content": "Q"}, A]
    ((sample,), _) = _read({"messages": chat})
    assert [t.supervised for t in sample.turns] == [True, False, True, True]
    with pytest.raises(RowError, match="loss-off"):
        _read({"messages": chat[:2]})
    with pytest.raises(RowError, match="loss-mixed"):
        _read({"messages": [*chat[:2], A]})


def test_a_weight_between_is_refused() -> None:
    with pytest.raises(RowError, match="loss-weight"):
        _read({"messages": [{"role": "user", "content": "Q"}, A | {"weight": 0.5}]})


def test_system_and_history_are_turns() -> None:
    row = {"system": "S", "history": [["P", "B"]], "query": "Q", "response": "A"}
    assert _told(row) == [["S"], ["P"], ["B"], ["Q"], ["A"]]
    assert _told(_ask("Q", system="S")) == [["S"], ["Q"], ["A"]]
    alpaca = {"instruction": "Add.", "input": "1 2", "output": "3"}
    assert _told(alpaca) == [["Add.\n1 2"], ["3"]]


def test_each_of_several_captions_is_a_sample() -> None:
    (samples, _) = _read({"image": "0.png", "captions": ["A cat.", "A pet."]})
    assert [s.turns[1].text for s in samples] == ["A cat.", "A pet."]


def test_a_code_answer_keeps_its_indentation() -> None:
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "    a\n    b\n"}]
    assert _told({"messages": chat})[1] == ["    a\n    b"]
