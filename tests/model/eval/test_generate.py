"""Answers against transformers alone, and however they are batched."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.clips import spliced
from tests.support.toy import LONGEST, NANO, predictions, samples

from smolmix.cli import app
from smolmix.model.eval.ask import ask, video_media
from smolmix.model.eval.generate import Batching, answer_prompts
from smolmix.model.eval.load import open_checkpoint
from smolmix.model.eval.run import evaluate_corpus, held_out
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace


def test_exact_match_is_the_same_through_transformers_alone(place: Workspace) -> None:
    from transformers import AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

    class Processor(SmolVLMProcessor):  # AutoProcessor wants torchvision for its video half
        def check_argument_for_proper_class(self, *_: object, **__: object) -> None:
            return None

    folder = f"{place.run('a').path}/final"
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(folder)
    images: Any = SmolVLMImageProcessorPil.from_pretrained(folder)
    clips = SimpleNamespace(num_frames=8, fps=2.0, model_input_names=["pixel_values"])
    processor: Any = Processor(
        images, words, clips, image_seq_len=4, chat_template=words.chat_template
    )
    result = evaluate_corpus(open_checkpoint("a", place), place, "toy", max_new_tokens=LONGEST)
    ours = {r["sample"]: r for r in predictions(place, "a", "toy").to_dicts()}
    right, asked, answered = 0, 0, set()
    for sample in samples(place, {}):
        if sample.id not in ours or sample.modality == "video":
            continue
        parts = [
            {"type": "image"} if p.media is not None else {"type": "text", "text": p.text}
            for p in sample.turns[0].parts
        ]
        text = processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True
        )
        shown = [Image.open(f"{place.path}/{m.refs[0].uri}").convert("RGB") for m in sample.media]
        inputs = processor(text=[text], images=[shown] if shown else None, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        said: Any = words.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        row = ours[sample.id]
        assert said.strip() == row["answer"], sample.id
        match = said.strip().lower() == row["expected"].strip().lower()
        assert match == row["exact_match"]
        right, asked = right + match, asked + 1
        answered.add(said)
    videos = [r for r in ours.values() if r["modality"] == "video"]
    assert asked + len(videos) == result["overall"]["questions"]
    assert right + sum(r["exact_match"] for r in videos) == pytest.approx(
        result["overall"]["score"] * result["overall"]["questions"]
    )
    assert right > 3
    assert len(answered) > 5


def test_generate_gives_the_answers_that_evaluate_stored(
    place: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_corpus(open_checkpoint("a", place), place, "toy", max_new_tokens=LONGEST)
    ours = {r["sample"]: r["answer"] for r in predictions(place, "a", "toy").to_dicts()}
    shown = [
        s for s in samples(place, {}) if s.id in ours and s.turns[0].parts[0].media is not None
    ]
    asked = 0
    for sample in [*shown[:4], next(s for s in shown if s.modality == "video")]:
        option = "--video" if sample.modality == "video" else "--image"
        files = [f"{option}={place.path}/{m.refs[0].uri}" for m in sample.media]
        question = sample.turns[0].text
        words = ["generate", "a", question, *files, "-w", place.path]
        app([*words, f"--max-new-tokens={LONGEST}"], standalone_mode=False)
        assert capsys.readouterr().out.strip() == ours[sample.id]
        asked += 1
    assert asked == 5


def test_a_clip_that_hides_its_first_frames_can_be_asked_about(
    place: Workspace, tmp_path: Path
) -> None:
    data = spliced(place.read_bytes("raw/toy/clip.mp4"), 0.5)
    with av.open(io.BytesIO(data), "r") as container:
        playing = sum(1 for _ in container.decode(container.streams.video[0]))
    path = tmp_path / "cut.mp4"
    path.write_bytes(data)
    assert video_media(str(path), data).frames == playing < 20
    assert list(ask(open_checkpoint("a", place), "What?", video=str(path), max_new_tokens=2))


def test_answers_do_not_depend_on_how_they_are_batched(place: Workspace) -> None:
    opened = open_checkpoint("a", place)
    vocabulary = tokenizer.load()
    asked, _ = held_out(place, "toy", NANO, vocabulary, limit=13)

    def said(batching: Batching | None = None) -> list[str]:
        return answer_prompts(
            opened.model, asked, NANO, place, vocabulary, max_new_tokens=3, batching=batching
        )

    together = said()
    assert said(Batching(prompts=1)) == together
    assert said(Batching(prompts=7, tiles=9)) == together
    assert said(Batching(tokens=200, decoded_tiles=12)) == together
    assert len(set(together)) > 5


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 20)), max_size=30),
    st.builds(
        Batching,
        prompts=st.integers(1, 8),
        tokens=st.integers(1, 900),
        tiles=st.integers(1, 60),
    ),
)
def test_no_batch_exceeds_its_bounds_unless_one_prompt_does(
    sizes: list[tuple[int, int]], most: Batching
) -> None:
    tokens, tiles = [t for t, _ in sizes], [n for _, n in sizes]
    found = list(most.batches(range(len(sizes)), tokens, tiles, NANO.pixel))
    assert [at for batch in found for at in batch] == list(range(len(sizes)))
    for batch in found:
        if len(batch) > 1:
            assert len(batch) <= most.prompts
            assert len(batch) * max(tokens[at] for at in batch) <= most.tokens
            assert len(batch) * max(tiles[at] for at in batch) <= (most.tiles or 0)
