"""Several conversations over the same media as one: each medium once, then all questions.

Only samples that a mixture cannot distinguish are joined: one subset, category, licence, finding
on chain of thought and system turn, the same media in the same order, and, unless the policy says
otherwise, the same tags. No question is asked twice in one conversation.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from smolmix.pipelines.curate.measure.texts import words
from smolmix.pipelines.curate.settings import Merge
from smolmix.sample import Part, Sample, Turn

TAG = "merged"  # of a joined sample: how many samples went into it

_Pair = tuple[Turn, Turn]
_Said = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Joined:
    """One conversation and what went into it."""

    head: Sample  # the first by id: the conversation takes its id and its place
    pairs: list[_Pair]
    into: list[tuple[Sample, int]] = field(default_factory=list)  # (sample, its first turn, from 1)
    repeated: list[Sample] = field(default_factory=list)  # all their questions were asked before
    pairs_dropped: int = 0  # of samples in `into`: same question and answer as before
    text_tokens: int = 0

    @property
    def sample(self) -> Sample:
        """The joined sample, its measures of text still those of its head."""
        merged = [self.head, *(s for s, _ in self.into)]
        shared = set(merged[0].tags).intersection(*(s.tags for s in merged[1:]))
        turns = [*_system(self.head), *(turn for pair in self.pairs for turn in pair)]
        tags = sorted({*shared, (TAG, str(len(merged)))})
        return replace(self.head, turns=tuple(turns), tags=tuple(tags))


def _system(sample: Sample) -> tuple[Turn, ...]:
    return sample.turns[:1] if sample.turns and sample.turns[0].role == "system" else ()


def _pairs(sample: Sample) -> list[_Pair]:
    body = sample.turns[len(_system(sample)) :]
    return list(zip(body[::2], body[1::2], strict=True))


def key(sample: Sample, settings: Merge) -> Hashable | None:
    """Return what samples that may be joined have in common; None where this one is not joined.

    It is not joined if its media are inside its text or in a later turn (a question may say "the
    second one"), if its first question has no text, or if roles do not alternate.
    """
    body = sample.turns[len(_system(sample)) :]
    roles = [t.role for t in body]
    if not body or roles != ["user", "assistant"] * (len(body) // 2):
        return None
    if any(p.media is not None for t in body[1:] for p in t.parts) or not body[0].text.strip():
        return None
    shown = [p.media for p in body[0].parts if p.media is not None]
    places = [i for i, p in enumerate(body[0].parts) if p.media is not None]
    together = places in (
        list(range(len(places))),
        list(range(len(body[0].parts) - len(places), len(body[0].parts))),
    )
    digests = tuple((m.kind, m.digest) for m in sample.media)
    if shown != list(range(len(sample.media))) or not together or not all(d for _, d in digests):
        return None
    system = "".join(t.text for t in _system(sample))
    tags = sample.tags if settings.tags == "must-match" else ()
    return sample.subset, sample.category, sample.licence, sample.cot, system, tags, digests


def _said(pair: _Pair) -> _Said:
    question, answer = (" ".join(words(turn.text)) for turn in pair)
    return question, answer


def _without_media(turn: Turn) -> Turn:
    return replace(turn, parts=(Part(text=turn.text.strip()),))


def join(samples: Sequence[Sample], settings: Merge) -> Iterator[Joined]:
    """Yield the conversations that samples of one key become.

    A sample of one question is dropped if the conversation asks it already. In a longer sample, a
    pair is dropped only if its answer is the same too, because later turns may refer to it.

    Args:
        samples: of one `key`, in order of id.
        settings: how long a conversation may become.
    """
    current: Joined | None = None
    known = set[_Said]()
    for sample in samples:
        pairs = _pairs(sample)
        if current is not None:
            fresh = _fresh(pairs, known)
            if not fresh:
                current.repeated.append(sample)
                continue
            if (
                len(current.pairs) + len(fresh) <= settings.max_pairs
                and current.text_tokens + sample.text_tokens <= settings.max_text_tokens
            ):
                first = 1 + len(_system(sample)) + 2 * len(current.pairs)
                current.into.append((sample, first))
                current.pairs += [(_without_media(q), a) for q, a in fresh]
                current.pairs_dropped += len(pairs) - len(fresh)
                current.text_tokens += sample.text_tokens
                known.update(map(_said, fresh))
                continue
            yield current
        current = Joined(head=sample, pairs=pairs, text_tokens=sample.text_tokens)
        known = set(map(_said, pairs))
    if current is not None:
        yield current


def _fresh(pairs: Iterable[_Pair], known: set[_Said]) -> list[_Pair]:
    """Return the pairs of a sample that add to what is known."""
    pairs = list(pairs)
    if len(pairs) == 1 and _said(pairs[0])[0] in {question for question, _ in known}:
        return []
    return [p for p in pairs if _said(p) not in known]
