"""transformers' SmolVLM processor as the reference (without torchvision), and tokenized samples."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.tokenized import filled as filled
from tests.support.tokenized import nano as nano
from tests.support.tokenized import tokenized as tokenized
from transformers import AutoTokenizer
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from smolmix.profiles import profile
from smolmix.sample import Sample
from smolmix.tokenize.chat import processor_files, tokenizer


class _Processor(SmolVLMProcessor):
    """The processor without the video processor, which needs torchvision."""

    def check_argument_for_proper_class(self, *_args: object, **_kwargs: object) -> None:
        return None


class Reference:
    """Ids and pixels of a preset, as transformers makes them."""

    def __init__(self, preset: str, folder: Path):
        self.profile = profile(preset, style="inference")
        processor_files.write(folder, self.profile)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.images: Any = SmolVLMImageProcessorPil.from_pretrained(folder)
        pixel = self.profile.pixel
        clips = SimpleNamespace(
            num_frames=pixel.max_frames, fps=pixel.fps, model_input_names=["pixel_values"]
        )
        self.processor = _Processor(
            self.images,
            self.tokenizer,
            clips,
            image_seq_len=pixel.tokens_per_tile,
            chat_template=processor_files.CHAT_TEMPLATE,
        )

    def pixels(self, image: Image.Image) -> tuple[int, int, Any]:
        """Return (rows, cols, float tiles) of one image."""
        out = self.images([[image]], return_tensors="np", return_row_col_info=True)
        return out["rows"][0][0], out["cols"][0][0], out["pixel_values"][0]

    def text(self, sample: Sample) -> str:
        """Return the chat template's string."""
        messages: Any = [
            {
                "role": turn.role,
                "content": [
                    {"type": "text", "text": part.text} if part.media is None else {"type": "image"}
                    for part in turn.parts
                ],
            }
            for turn in sample.turns
        ]
        return str(self.processor.apply_chat_template(messages))

    def ids(self, sample: Sample) -> list[int]:
        """Return `input_ids` of the sample's conversation; its images are grey."""
        images: Sequence[Image.Image] = [
            Image.new("RGB", (m.width, m.height), (128, 128, 128)) for m in sample.media
        ]
        out = self.processor(
            text=[self.text(sample)], images=[list(images)] if images else None, return_tensors="np"
        )
        return np.asarray(out["input_ids"])[0].tolist()  # type: ignore[no-any-return]  # without types


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    made: dict[str, Reference] = {}

    def get(preset: str) -> Reference:
        if preset not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[preset] = Reference(preset, tmp_path_factory.mktemp(f"reference-{preset}"))
        return made[preset]

    return get


@pytest.fixture(scope="session")
def vocabulary() -> tokenizer.Vocabulary:
    return tokenizer.load()
