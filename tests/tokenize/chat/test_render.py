"""The rendered chat: golden strings for the three styles, and transformers' template and frames."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.conversations import clip, conversation, conversations, picture

from smolmix import cost
from smolmix.cost import Grid, clip_frames, frame_indices, image_grid
from smolmix.profiles import PIXEL_PRESETS, ChatProfile, Profile, Style, profile
from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.render import block_markup, markup, render


def test_the_template_string_equals_transformers(reference: Callable[[str], Any]) -> None:
    made = reference("nano")
    for sample in conversations():
        ours = markup(render(sample, made.profile), made.profile)
        for medium in sample.media:
            grid = image_grid(medium.width, medium.height, made.profile.pixel)
            block = block_markup(grid, made.profile.pixel.tokens_per_tile)
            ours = ours.replace(block, "<image>", 1)
        assert ours == made.text(sample)


def test_clip_prompts_equal_transformers(reference: Callable[[str], Any]) -> None:
    from transformers.video_utils import VideoMetadata

    checked = 0
    for frames, fps in [(75, 25.0), (900, 30.0), (1800, 29.97), (4, 30.0), (30_000, 25.0)]:
        made = reference("256m")
        indices = clip_frames(clip(frames, fps), made.profile.pixel)
        metadata = VideoMetadata(
            total_num_frames=frames, fps=fps, duration=frames / fps, frames_indices=indices
        )
        wanted = made.processor.replace_video_token(
            {"pixel_values": np.zeros((1, len(indices))), "video_metadata": [metadata]}, 0
        )
        sample = conversation(("user", [0, "Why?"]), ("assistant", "x"), media=(clip(frames, fps),))
        ours = markup(render(sample, made.profile), made.profile)
        assert ours == (
            f"<|im_start|>User: {wanted}Why?<end_of_utterance>\nAssistant: x<end_of_utterance>\n"
        )
        checked += 1
    assert checked == 5


@settings(max_examples=200)
@given(
    st.integers(1, 200_000), st.floats(0.5, 240, allow_nan=False), st.sampled_from(["256m", "nano"])
)
def test_frame_indices_equal_transformers(frames: int, fps: float, preset: str) -> None:
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor
    from transformers.video_utils import VideoMetadata

    pixel = PIXEL_PRESETS[preset]
    metadata = VideoMetadata(total_num_frames=frames, fps=fps, duration=frames / fps)
    asked: Any = SimpleNamespace(num_frames=pixel.max_frames, fps=pixel.fps)
    theirs = SmolVLMVideoProcessor.sample_frames(asked, metadata)
    ours = frame_indices(frames / fps, frames, fps, pixel)
    assert ours == theirs.tolist()
    assert 1 <= len(ours) <= pixel.max_frames


def test_a_thirty_second_clip_is_sampled_over_all_of_it_and_not_around_its_middle() -> None:
    """SmolVLM2's published sampler takes 30 native frames between 14.5 and 15.5 s."""
    indices = frame_indices(30.0, 900, 30.0, PIXEL_PRESETS["256m"])
    assert len(indices) == 30
    assert (indices[0], indices[-1]) == (0, 899)
    gaps = np.diff(indices)
    assert gaps.min() >= 30
    assert gaps.max() <= 32


def test_missing_fps_or_duration_is_filled_in_from_the_other() -> None:
    whole = clip(100, 10.0)
    for lacking in (replace(whole, fps=0.0), replace(whole, duration_s=0.0)):
        assert cost.clip_timing(lacking) == (10.0, 10.0)
    assert cost.clip_timing(replace(whole, fps=0.0, duration_s=0.0)) == (100 / 24, 24.0)


FAKE, GLOBAL = special.FAKE, special.GLOBAL_IMAGE
ONE = f"{FAKE}{GLOBAL}{'<image>' * 4}{FAKE}"
SYSTEM = (
    "System: You are a helpful language and vision assistant. You are able to understand the "
    "visual content that the user provides, and assist the user with a variety of tasks using "
    "natural language.<end_of_utterance>\n"
)
GOLDEN: dict[Style, tuple[str, str]] = {
    "inference": (
        "<|im_start|>User:{image}Which?<end_of_utterance>\nAssistant:⟦ A<end_of_utterance>⟧\n",
        "<|im_start|>User: You are provided the following series of two frames from a 0:00:01 "
        "[H:MM:SS] video.\n\nFrame from 00:00:{frame}\nFrame from 00:01:{frame}\n\n"
        "Which?<end_of_utterance>\nAssistant:⟦ A<end_of_utterance>⟧\n",
    ),
    "released": (
        f"<|im_start|>{SYSTEM}User: Here are some images: {{image}}Now answer the following "
        "question: Which?<end_of_utterance>\nAssistant:⟦ A<end_of_utterance>⟧\n",
        f"<|im_start|>{SYSTEM}User: You are provided the following series of two frames from a "
        "0:00:01.250000 [H:MM:SS] video.\nFrame from 00:00:{frame}Frame from 00:01:{frame}"
        "Now answer the following question: Which?<end_of_utterance>\n"
        "Assistant:⟦ A<end_of_utterance>⟧\n",
    ),
    "paper": (
        "<|im_start|>System: You are a visual agent and should provide concise answers."
        "<end_of_utterance>\nUser: Here is an image: {image}Given this image: Which?"
        "<end_of_utterance>\nAssistant:⟦ A<end_of_utterance>⟧\n",
        "<|im_start|>System: You are a visual agent and should provide concise answers."
        "<end_of_utterance>\nUser: Here are 2 frames sampled from a video: Frame from 00:00:"
        "{frame}Frame from 00:01:{frame}Given this video: Which?<end_of_utterance>\n"
        "Assistant:⟦ A<end_of_utterance>⟧\n",
    ),
}


@pytest.mark.parametrize("style", sorted(GOLDEN))
def test_styles_read_as_written_here(style: Style) -> None:
    made = profile("nano", style=style)
    image, video = GOLDEN[style]
    one = conversation(("user", [0, "Which?"]), ("assistant", "A"), media=(picture(64, 40),))
    block = block_markup(Grid(rows=2, cols=2), 4)
    assert markup(render(one, made), made, mask=True) == image.format(image=block)
    two = conversation(("user", [0, "Which?"]), ("assistant", "A"), media=(clip(10, 8.0),))
    assert markup(render(two, made), made, mask=True) == video.format(frame=ONE)
    assert str(timedelta(seconds=1.25)) == "0:00:01.250000"


def test_system_prompts_are_configurable_by_category() -> None:
    chosen = ChatProfile(style="paper", system_prompts=(("vqa", "Short."), ("*", "Any.")))
    made = Profile(pixel=PIXEL_PRESETS["nano"], chat=chosen)
    one = conversation(("user", "Q"), ("assistant", "A"))
    assert "System: Short." in markup(render(one, made), made)
    assert "System: Any." in markup(render(replace(one, category="chart"), made), made)
    none = Profile(
        pixel=PIXEL_PRESETS["nano"], chat=ChatProfile(style="paper", system_prompt=False)
    )
    assert "System" not in markup(render(one, none), none)
