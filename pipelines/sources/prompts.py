"""Questions for corpora that publish answers only: a few of each kind, chosen by the sample's key.

The choice depends on the key alone, so it is the same on every run and in any order of rows.
"""

from collections.abc import Sequence

import xxhash

DESCRIBE_VIDEO = (
    "Describe the video in detail.",
    "What happens in this video?",
    "Write a detailed caption for this clip.",
    "Give a thorough description of what the video shows.",
    "Explain what can be seen in the video, from start to end.",
    "Please describe this video.",
)
DESCRIBE_SHOT = (
    "Describe the clip, beginning with the shot type and the camera movement.",
    "What kind of shot is this, how does the camera move, and what is shown?",
)
DESCRIBE_WITH_SPEECH = (
    'The speaker says: "{speech}"\nDescribe the video in detail.',
    'Voice-over: "{speech}"\nWhat does the video show?',
)
SUMMARISE_FILM = (
    "Describe what happens in this film clip.",
    "Summarise the scene.",
    "What is this clip about? Describe it.",
)
READ_FORMULA = (
    "Write this formula in LaTeX.",
    "Transcribe the handwritten expression to LaTeX.",
    "What is the LaTeX source of this handwritten formula?",
    "Convert the handwriting to LaTeX.",
    "Give the LaTeX for the mathematical expression in the image.",
)
DESCRIBE_IMAGE = (
    "Describe the image.",
    "What does the picture show?",
    "Write a caption for this image.",
)


def pick(prompts: Sequence[str], key: str) -> str:
    """Return one of the prompts, always the same for the same key."""
    return prompts[xxhash.xxh3_64_intdigest(key.encode()) % len(prompts)]
