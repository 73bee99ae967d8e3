"""A sample's tokens as the model reads them, with their kind and whether the loss counts them."""

from functools import lru_cache
from typing import Any

from smolmix.profiles import Profile
from smolmix.sample import Sample
from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.encode import encode
from smolmix.tokenize.chat.tokenizer import Vocabulary

_MARKERS = frozenset(i for t, i in special.ADDED.items() if t.startswith("<row_")) | {
    special.FAKE_ID,
    special.GLOBAL_IMAGE_ID,
}
_SPECIAL = frozenset(special.SPECIAL.values())


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary represents.

    Source: GPT-2's `bytes_to_unicode`: printable bytes represent themselves, the others are
    numbered from 256.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in printable}
    others = [b for b in range(256) if b not in printable]
    return table | {chr(256 + n): b for n, b in enumerate(others)}


def readable(token: str) -> str:
    """Return a byte-level token as text, with incomplete characters written as \\xNN."""
    table = _byte_of()
    if not all(c in table for c in token):
        return token
    return bytes(table[c] for c in token).decode("utf-8", errors="backslashreplace")


def token_runs(
    sample: Sample, profile: Profile, vocabulary: Vocabulary, *, limit: int = 1500
) -> dict[str, Any]:
    """Return the sample's tokens in runs of equal kind and equal loss mask.

    Args:
        sample: a measured sample.
        profile: chat style and pixel settings.
        vocabulary: encodes text to ids.
        limit: most tokens to list; a run of image tokens counts as one.

    Returns:
        `runs`: [kind, supervised, tokens], where kind is `t` (text), `s` (special), `m` (image
        marker) or `i` (image; `tokens` is then their number); `tokens` and `supervised`: totals;
        `more`: how many tokens are not listed.
    """
    encoded = next(encode([sample], profile, vocabulary))
    labels = encoded.labels()
    runs: list[list[Any]] = []
    spelled = seen = 0
    for token, label in zip(encoded.input_ids.tolist(), labels.tolist(), strict=True):
        counts = int(label >= 0)
        if token == special.IMAGE_ID:
            if runs and runs[-1][0] == "i":
                runs[-1][2] += 1
            else:
                runs.append(["i", counts, 1])
            seen += 1
            continue
        if spelled >= limit:
            break
        kind = "m" if token in _MARKERS else "s" if token in _SPECIAL else "t"
        text = vocabulary.full.id_to_token(token) or f"[{token}]"
        text = text if kind != "t" else readable(text)
        if runs and runs[-1][0] == kind and runs[-1][1] == counts:
            runs[-1][2].append(text)
        else:
            runs.append([kind, counts, [text]])
        spelled += 1
        seen += 1
    return {
        "runs": runs,
        "tokens": len(encoded.input_ids),
        "supervised": encoded.supervised,
        "more": len(encoded.input_ids) - seen,
    }
