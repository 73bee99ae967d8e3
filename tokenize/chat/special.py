"""SmolVLM's special tokens, and the ids the released checkpoints gave them.

Source: added_tokens of the released SmolVLM2 tokenizers: 128 tokens after SmolLM2's 49,152.
"""

BASE_VOCABULARY = 49_152
VOCABULARY = 49_280

END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
GLOBAL_IMAGE = "<global-img>"
FAKE = "<fake_token_around_image>"
IMAGE = "<image>"
END_OF_UTTERANCE = "<end_of_utterance>"

MAX_GRID = 6  # learned position tokens exist for rows and columns 1 to 6


def position(row: int, col: int) -> str:
    """Return the position token of a sub-image; rows and columns start at 1."""
    return f"<row_{row}_col_{col}>"


def _added() -> dict[str, int]:
    names = [GLOBAL_IMAGE]
    names += [position(r, c) for r in range(1, MAX_GRID + 1) for c in range(1, MAX_GRID + 1)]
    names += [FAKE, IMAGE]
    names += [f"<|reserved_special_token_{i}|>" for i in range(88)]
    names.append(END_OF_UTTERANCE)
    return {name: BASE_VOCABULARY + i for i, name in enumerate(names)}


ADDED: dict[str, int] = _added()  # token -> id, in order of id
BASE_SPECIAL: dict[str, int] = {END_OF_TEXT: 0, IM_START: 1, IM_END: 2}
SPECIAL: dict[str, int] = BASE_SPECIAL | ADDED

IMAGE_ID = ADDED[IMAGE]
FAKE_ID = ADDED[FAKE]
GLOBAL_IMAGE_ID = ADDED[GLOBAL_IMAGE]
END_OF_UTTERANCE_ID = ADDED[END_OF_UTTERANCE]
IM_START_ID = BASE_SPECIAL[IM_START]
PAD_ID = BASE_SPECIAL[IM_END]
END_OF_TEXT_ID = BASE_SPECIAL[END_OF_TEXT]
