"""Measures samples: media facts, text lengths and tokens, language, hash, chain of thought."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from smolmix.pipelines.curate.measure import cot, texts
from smolmix.pipelines.curate.measure.media import MediaMeasurer
from smolmix.sample import Media, MediaRef, Sample
from smolmix.tokenize.chat.tokenizer import Vocabulary


class SampleMeasurer:
    """Fills in every measure of a sample; texts that recur are tokenized once."""

    def __init__(self, media: MediaMeasurer, vocabulary: Vocabulary):
        """Measure with `media` for images and videos, `vocabulary` for text tokens."""
        self._media = media
        self._vocabulary = vocabulary

    def measure(self, samples: Sequence[tuple[Sample, Mapping[MediaRef, bytes]]]) -> list[Sample]:
        """Return the samples, in order, with all measures filled in."""
        texts_of = [[p.text for t in s.turns for p in t.parts if p.text] for s, _ in samples]
        distinct = sorted({t for ts in texts_of for t in ts})
        counts = dict(zip(distinct, map(len, self._vocabulary.encode_batch(distinct)), strict=True))
        return [
            self._one(sample, blobs, sum(counts[t] for t in own))
            for (sample, blobs), own in zip(samples, texts_of, strict=True)
        ]

    def _one(self, sample: Sample, blobs: Mapping[MediaRef, bytes], tokens: int) -> Sample:
        media, errors = list[Media](), list[str]()
        for number, medium in enumerate(sample.media):
            measured, error = self._media.measure(medium, blobs)
            media.append(measured)
            if error:
                errors.append(f"{error} (media {number})" if len(sample.media) > 1 else error)
        evidence = "" if sample.cot == "declared" else cot.detect(sample.turns)
        sample = replace(
            sample,
            media=tuple(media),
            cot="detected" if evidence else sample.cot,
            cot_evidence=evidence or sample.cot_evidence,
            errors=(*sample.errors, *errors),
        )
        return text_measures(sample, tokens)


def text_measures(sample: Sample, tokens: int) -> Sample:
    """Return the sample with the measures that its text alone decides.

    Args:
        sample: its turns are final.
        tokens: of its text parts, each tokenized by itself.
    """
    answers = [t.text for t in sample.turns if t.role == "assistant"]
    whole = "\n".join(t.text for t in sample.turns if t.role != "system")
    return replace(
        sample,
        text_chars=sum(len(t.text) for t in sample.turns),
        text_tokens=tokens,
        answer_chars=sum(map(len, answers)),
        language=texts.language(whole[:600]),
        text_hash=texts.text_hash(sample.turns),
    )
