"""Against transformers' whole AutoProcessor, video processor included; it needs torchvision.

Its own resizing is torchvision's Lanczos, which rounds otherwise than Pillow's: pixels are at most
three levels of 255 away. Ids are equal. CI has no torchvision; last run with
0.28 and transformers 5.23.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.support.small_workspace import clip_bytes, image_bytes
from transformers import AutoProcessor
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE
from transformers.video_utils import VideoMetadata

from smolmix.model.eval.ask import video_media
from smolmix.model.eval.prompts import decode_medium
from smolmix.profiles import Profile, profile
from smolmix.sample import Media, MediaRef, Part, Sample, Turn
from smolmix.tokenize.chat import processor_files, tokenizer
from smolmix.tokenize.chat.encode import encode

pytest.importorskip("torchvision")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' and torchvision's own

LEVELS = 3.01  # of 255


def ours(media: Media, blob: bytes, chosen: Profile) -> tuple[list[int], NDArray[Any]]:
    """Ids up to the answer, and tiles as the model's input."""
    sample = Sample(
        id="a", corpus="a", modality="image", category="vqa", licence="", source_file="",
        source_row=0, media=(media,),
        turns=(Turn(role="user", parts=(Part(media=0), Part(text="What is it?"))),
               Turn(role="assistant", parts=(Part(text="?"),))),
    )  # fmt: skip
    (encoded,) = encode([sample], chosen, tokenizer.load(chosen.chat.tokenizer))
    tiles = np.asarray(decode_medium(media, (blob,), chosen.pixel))
    return encoded.input_ids[: encoded.spans[-1][0]].tolist(), tiles


def same(processed: Any, media: Media, blob: bytes, chosen: Profile) -> None:
    ids, tiles = ours(media, blob, chosen)
    assert processed["input_ids"][0].tolist() == ids
    theirs = processed["pixel_values"][0]
    found = (tiles.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    assert found.shape == theirs.shape
    assert np.abs(found - theirs).max() * 127.5 <= LEVELS


def opened(chosen: Profile, folder: Path) -> Any:
    processor_files.write(folder, chosen)
    auto: Any = AutoProcessor  # transformers leaves it untyped
    return auto.from_pretrained(folder)


def asked(kind: str) -> Sequence[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": "What is it?"}]}]


@pytest.mark.parametrize("preset", ["256m", "2.2b"])
@pytest.mark.parametrize(("width", "height"), [(448, 336), (1240, 1754)])
def test_images(preset: str, width: int, height: int, tmp_path: Path) -> None:
    chosen = profile(preset, style="inference")
    processor, blob = opened(chosen, tmp_path), image_bytes(width, height, 1)
    text = processor.apply_chat_template(asked("image"), add_generation_prompt=True)
    processed = processor(text=text, images=[Image.open(io.BytesIO(blob))], return_tensors="np")
    medium = Media(kind="image", refs=(MediaRef(uri="x"),), width=width, height=height)
    same(processed, medium, blob, chosen)


@pytest.mark.parametrize("preset", ["256m", "2.2b"])
@pytest.mark.parametrize("frames", [9, 100])
def test_clips(preset: str, frames: int, tmp_path: Path) -> None:
    chosen = profile(preset, style="inference")
    processor, blob = opened(chosen, tmp_path), clip_bytes(frames)
    with av.open(io.BytesIO(blob), "r") as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    text = processor.apply_chat_template(
        asked("video"), add_generation_prompt=True, chat_template=DEFAULT_CHAT_TEMPLATE
    )
    processed = processor(
        text=text, videos=[np.stack(decoded)], do_sample_frames=True, return_tensors="np",
        video_metadata=[VideoMetadata(total_num_frames=frames, fps=8.0, duration=frames / 8)],
    )  # fmt: skip
    same(processed, video_media("clip.mp4", blob), blob, chosen)
