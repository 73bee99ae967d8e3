"""Text tokens a second, chat and loss mask included, against `tokenizers` batch encoding alone.

Run: python -m benchmarks.tokenize.texts
"""

import os
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from benchmarks.tokenize.measure import one_core, report, side_by_side

from smolmix.profiles import Profile, profile
from smolmix.sample import Sample, turns_of
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.tokenize.chat.render import markup, render


def conversations(turns: int, question: int, answer: int, count: int) -> list[Sample]:
    """Return conversations cut from the standard library's sources, lengths in characters."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    text = "".join(f.read_text(errors="ignore") for f in files)
    out, at = [], 0
    for i in range(count):
        spoken: list[tuple[str, str]] = []
        for _ in range(turns):
            spoken += [
                ("user", text[at : at + question]),
                ("assistant", text[at + question : at + question + answer]),
            ]
            at = (at + question + answer) % (len(text) - 10_000)
        out.append(
            Sample(
                id=str(i), corpus="c", modality="text", category="text",
                turns=turns_of(*spoken),  # type: ignore[arg-type]  # its roles are literals
                licence="cc0", source_file="f", source_row=i,
            )
        )  # fmt: skip
    return out


def ours(samples: list[Sample], made: Profile, vocabulary: tokenizer.Vocabulary) -> None:
    """Encode all samples."""
    for _ in encode.encode(samples, made, vocabulary):
        pass


def main() -> None:
    """Check equality, then time."""
    one_core()
    vocabulary, made = tokenizer.load(), profile("256m", style="inference")
    out: dict[str, Any] = {}
    for name, shape in {
        "short: 1 turn, 60 + 20 characters": (1, 60, 20, 4000),
        "chat: 3 turns, 300 + 900 characters": (3, 300, 900, 250),
        "long: 1 turn, 200 + 6000 characters": (1, 200, 6000, 150),
    }.items():
        samples = conversations(*shape)
        strings = [markup(render(s, made), made) for s in samples]
        encoded = list(encode.encode(samples, made, vocabulary))
        theirs = vocabulary.full.encode_batch(strings, add_special_tokens=False)
        # Sources that spell a special token are read differently, on purpose.
        same = [a.input_ids.tolist() == b.ids for a, b in zip(encoded, theirs, strict=True)]
        assert sum(same) >= 0.98 * len(same)
        tokens = sum(len(e.input_ids) for e in encoded)
        contenders: dict[str, Callable[[], Any]] = {
            "tokenizers": partial(vocabulary.full.encode_batch, strings, add_special_tokens=False),
            "smolmix": partial(ours, samples, made, vocabulary),
        }
        seconds = side_by_side(contenders)
        out[name] = {
            "tokens/s": {k: round(tokens / v) for k, v in seconds.items()},
            "share of tokenizers' speed": round(seconds["tokenizers"] / seconds["smolmix"], 2),
        }
    report("texts", out)


if __name__ == "__main__":
    main()
