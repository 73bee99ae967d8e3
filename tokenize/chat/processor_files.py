"""The tokenizer and processor files next to a checkpoint's weights.

With them, transformers' `AutoProcessor` reads a checkpoint of ours as it reads a released one, and
prepares at inference what training in the `inference` style saw.
"""

import json
from pathlib import Path
from typing import Any

from smolmix.errors import UsageError
from smolmix.profiles import PixelProfile, Profile
from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.tokenizer import Vocabulary, load

# Source: transformers `processing_smolvlm.DEFAULT_CHAT_TEMPLATE`, that of the released SmolVLM2.
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}"
    "{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}"
    "{% elif line['type'] == 'video' %}{{ '<video>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def image_processor(pixel: PixelProfile) -> dict[str, Any]:
    """Return `preprocessor_config.json` of a released checkpoint, in this profile's sizes."""
    return {
        "do_convert_rgb": True,
        "do_image_splitting": pixel.split,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SmolVLMImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": pixel.tile_px},
        "processor_class": "SmolVLMProcessor",
        "resample": 1,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": pixel.longest_edge_px},
        "video_sampling": {
            "fps": pixel.fps,
            "max_frames": pixel.max_frames,
            "video_size": {"longest_edge": pixel.tile_px},
        },
    }


def video_processor(pixel: PixelProfile) -> dict[str, Any]:
    """Return `video_preprocessor_config.json`: the same sizes, frames never split."""
    config = image_processor(pixel)
    del config["do_image_splitting"], config["image_processor_type"]
    config["video_processor_type"] = "SmolVLMVideoProcessor"
    config["size"] = {"longest_edge": pixel.tile_px}
    config["do_sample_frames"] = True
    config["fps"] = pixel.fps
    config["num_frames"] = pixel.max_frames
    return config


def tokenizer_config() -> dict[str, Any]:
    """Return `tokenizer_config.json` as the released checkpoints have it."""
    named = {
        "end_of_utterance_token": special.END_OF_UTTERANCE,
        "fake_image_token": special.FAKE,
        "global_image_token": special.GLOBAL_IMAGE,
        "image_token": special.IMAGE,
    }
    return {
        "add_prefix_space": False,
        "additional_special_tokens": [special.FAKE, special.IMAGE, special.END_OF_UTTERANCE],
        "bos_token": special.IM_START,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": special.END_OF_UTTERANCE,
        "extra_special_tokens": named,
        **named,
        "model_max_length": 8192,
        "pad_token": special.IM_END,
        "processor_class": "SmolVLMProcessor",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "truncation_side": "left",
        "unk_token": special.END_OF_TEXT,
        "vocab_size": special.BASE_VOCABULARY,
    }


def write(folder: Path, profile: Profile, vocabulary: Vocabulary | None = None) -> list[str]:
    """Write all files that `AutoProcessor` and `AutoTokenizer` need; return their names, sorted.

    Args:
        folder: of the checkpoint; created if it does not exist.
        profile: sizes and frame sampling.
        vocabulary: default: the one that the profile names.
    """
    vocabulary = vocabulary or load(profile.chat.tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.full.save(str(folder / "tokenizer.json"))
    documents: dict[str, Any] = {
        "tokenizer_config.json": tokenizer_config(),
        "special_tokens_map.json": {
            "bos_token": special.IM_START,
            "eos_token": special.END_OF_UTTERANCE,
            "pad_token": special.IM_END,
            "unk_token": special.END_OF_TEXT,
            "additional_special_tokens": [special.FAKE, special.IMAGE, special.END_OF_UTTERANCE],
        },
        "preprocessor_config.json": image_processor(profile.pixel),
        "video_preprocessor_config.json": video_processor(profile.pixel),
        "processor_config.json": {
            "image_seq_len": profile.pixel.tokens_per_tile,
            "processor_class": "SmolVLMProcessor",
        },
        "chat_template.json": {"chat_template": CHAT_TEMPLATE},
        "generation_config.json": {
            "_from_model_config": True,
            "bos_token_id": special.IM_START_ID,
            "eos_token_id": special.END_OF_UTTERANCE_ID,
            "pad_token_id": special.PAD_ID,
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return sorted([*documents, "tokenizer.json", "chat_template.jinja"])


def check(folder: Path, profile: Profile) -> None:
    """Refuse a checkpoint whose processor cuts images differently from the profile.

    Raises:
        UsageError: sizes or tokens per tile differ; the message has both values.
    """
    wanted = image_processor(profile.pixel)
    found = json.loads((folder / "preprocessor_config.json").read_text())
    found |= json.loads((folder / "processor_config.json").read_text())
    found |= found.get("image_processor", {})  # transformers 5 keeps it there

    def differ(key: str, theirs: object, ours: object) -> None:
        if theirs != ours:
            raise UsageError(
                f"{folder}: {key} is {theirs}; profile {profile.pixel.name} has {ours}; "
                "tokenize with the checkpoint's own profile"
            )

    differ("image_seq_len", found.get("image_seq_len"), profile.pixel.tokens_per_tile)
    for key in ("max_image_size", "size"):
        edge = (found.get(key) or {}).get("longest_edge")
        differ(key, edge, wanted[key]["longest_edge"])
