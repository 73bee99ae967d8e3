import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from smolmix.errors import UsageError
from smolmix.pipelines.curate import policy as policies
from smolmix.schema import SCHEMA_VERSION
from smolmix.storage import digest_json
from smolmix.workspace import MANIFESTS, Workspace, manifests, stage_record

Make = Callable[..., Any]
Curate = Callable[..., Any]


def png(colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> bytes:
    image = Image.new("RGB", size, colour)
    image.putpixel((5, 5), (255 - colour[0], 0, 255))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_measures_are_filled_in_and_every_row_is_accounted_for(
    planted: Make, curated: Curate, workspace: Workspace
) -> None:
    corpus = planted()
    red = corpus.file("red.png", png((200, 0, 0)))
    corpus.ask("one", red, "Which colour is this picture, please?", "Red.")
    corpus.ask("empty", red, "Which colour?", "  ")
    corpus.add("text", ("user", "Was ist die Hauptstadt von Frankreich?"), ("assistant", "Paris."))
    corpus.ask("gone", f"{corpus.root}/media/none.png")
    found = curated(corpus.write())
    sample = found.kept["one"]
    medium = sample.media[0]
    assert (medium.width, medium.height, medium.format) == (40, 30, "png")
    assert medium.digest
    assert medium.bytes_on_disk == len(png((200, 0, 0)))
    assert sample.text_tokens > 8
    assert sample.answer_chars == 4
    assert sample.language == "en"
    assert found.kept["text"].language == "de"
    assert found.dropped["empty"].reason == "answer-empty"
    assert found.dropped["gone"].reason == "image-missing"
    assert (found.fall.rows, found.fall.samples, found.fall.kept) == (4, 4, 2)
    assert stage_record(workspace.curated("planted")).accounting.imbalance() == ""


def test_a_corpus_of_another_record_schema_is_curated_again(
    planted: Make, curated: Curate, workspace: Workspace
) -> None:
    corpus = planted()
    corpus.add("text", ("user", "What is the capital of France?"), ("assistant", "Paris."))
    source, folder = corpus.write(), workspace.measured("planted")
    curated(source)
    (new,) = manifests(folder)
    old = {**new.inputs, "parameter record schema": digest_json(SCHEMA_VERSION - 1)}
    manifest = {**new.to_json(), "inputs": old, "key": digest_json(old)}
    folder.write_json(f"{MANIFESTS}/{new.unit}.json", manifest)
    assert list(curated(source).kept) == ["text"]
    (again,) = manifests(folder)
    assert again == new


def test_one_image_with_other_questions_is_kept_and_equal_samples_are_dropped(
    planted: Make, curated: Curate
) -> None:
    corpus = planted()
    one = corpus.file("a.png", png((9, 99, 9)))
    same = corpus.file("b.png", png((9, 99, 9)))
    corpus.ask("a", one, "What colour is it?", "green")
    corpus.ask("b", same, "What  colour is it", "green.")
    corpus.ask("c", one, "What shape is it?", "square")
    corpus.ask("d", one, "What colour is it?", "blue")
    found = curated(corpus.write(files=2))
    assert set(found.kept) == {"a", "c", "d"} or set(found.kept) == {"b", "c", "d"}
    (lost,) = found.dropped.values()
    assert lost.reason == "duplicate-exact"
    assert lost.kept_id in {s.id for s in found.kept.values()}
    assert found.fall.duplicates == {"duplicate-exact": 1}


def test_a_training_sample_equal_to_a_heldout_one_is_contamination(
    planted: Make, curated: Curate
) -> None:
    corpus = planted()
    image = corpus.file("a.png", png((1, 2, 3)))
    for key in ("zz-held", "zy-held"):
        corpus.ask(key, image, "What colour is it?", "dark")
        corpus.rows[-1]["split"] = "heldout"
    corpus.ask("aa-train", image, "What colour is it?", "dark")
    corpus.ask("ab-train", image, "Which shape is it?", "none")
    found = curated(corpus.write())
    assert found.dropped["aa-train"].reason == "contaminated-heldout"
    assert set(found.kept) == {"zz-held", "zy-held", "ab-train"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filters:\n  all:\n    - rule: answer-emptyy\n", "did you mean 'answer-empty'"),
        ("filters:\n  image:\n    - rule: image-tiny\n      min_edge: 3\n", "'min_edge_px'"),
        ("filters:\n  images: []\n", "did you mean 'image'"),
        ("dedup:\n  exat: true\n", "did you mean 'exact'"),
        ("dedup:\n  text:\n    bandz: 3\n", "did you mean 'bands'"),
        ("filters:\n  image:\n    - rule: image-tiny\n", "min_edge_px"),
    ],
)
def test_a_policy_with_an_unknown_word_is_refused_with_the_nearest(
    text: str, expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        policies.parse(text, "mine.yaml")
