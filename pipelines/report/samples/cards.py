"""Samples as JSON cards for the browser: no markup; pictures are referenced by name."""

from dataclasses import dataclass, field
from typing import Any

import xxhash

from smolmix.media import MediaReader
from smolmix.pipelines.report.samples.thumbnails import FRAMES_SHOWN, Thumbnail, describe
from smolmix.pipelines.report.samples.tokens import token_runs
from smolmix.profiles import Profile
from smolmix.sample import Dropped, Sample
from smolmix.tokenize.chat.tokenizer import Vocabulary, load
from smolmix.workspace import Workspace

_TEXT_SHOWN = 6000  # characters of a turn
_MEDIA_SHOWN = 12

Card = dict[str, Any]


def card_key(state: str, corpus: str, id_: str) -> str:
    """Return a stable key that links to the card and fits a URL fragment."""
    return xxhash.xxh3_64_hexdigest(f"{state}\n{corpus}\n{id_}".encode())


@dataclass(slots=True)
class CardMaker:
    """Turns samples into cards and collects their pictures."""

    workspace: Workspace
    profile: Profile | None
    pictures: dict[str, Thumbnail] = field(default_factory=dict)
    _reader: MediaReader | None = None
    _vocabulary: Vocabulary | None = None

    def card(
        self,
        sample: Sample,
        *,
        state: str = "kept",
        dropped: Dropped | None = None,
        brief: bool = False,
    ) -> Card:
        """Return one sample's card.

        Args:
            sample: measured.
            state: kept, dropped, or partner (the kept copy of a duplicate).
            dropped: why it was dropped.
            brief: for a list: only the first picture, no tokens.
        """
        key = card_key(state, sample.corpus, sample.id)
        card: Card = {
            "key": key,
            "state": state,
            "id": sample.id,
            "corpus": sample.corpus,
            "subset": sample.subset,
            "split": sample.split,
            "modality": sample.modality,
            "category": sample.category,
            "cot": sample.cot,
            "cot_evidence": sample.cot_evidence,
            "licence": sample.licence,
            "language": sample.language,
            "source": f"{sample.source_file}#{sample.source_row}",
            "errors": list(sample.errors),
            "tags": dict(sample.tags),
            "turns": [
                {"role": t.role, "parts": [self._part(p.text, p.media) for p in t.parts]}
                for t in sample.turns
            ],
            "media": [],
        }
        if self._reader is None:
            self._reader = MediaReader(self.workspace)
        pixel = self.profile.pixel if self.profile else None
        media_shown, frames = (1, 1) if brief else (_MEDIA_SHOWN, FRAMES_SHOWN)
        for medium in sample.media[:media_shown]:
            about, pictures = describe(medium, self._reader, pixel, frames=frames)
            card["media"].append(about)
            self.pictures |= {p.name: p for p in pictures}
        card["media_more"] = max(0, len(sample.media) - media_shown)
        if self.profile is not None and not brief:
            card["rendered"] = self._rendered(sample, self.profile)
        if dropped is not None:
            card |= _why(dropped)
        return card

    def row_card(self, dropped: Dropped, corpus: str) -> Card:
        """Return the card of a row that never became a sample."""
        return {
            "key": card_key("dropped", corpus, dropped.id),
            "state": "dropped",
            "id": dropped.id,
            "corpus": corpus,
            "modality": "",
            "category": "",
            "cot": "",
            "split": "",
            "source": f"{dropped.source_file}#{dropped.source_row}",
            "turns": [],
            "media": [],
            **_why(dropped),
        }

    def _rendered(self, sample: Sample, profile: Profile) -> dict[str, Any] | None:
        measured = all(m.width and m.height and m.frames for m in sample.media)
        if not measured or not sample.turns:
            return None
        if self._vocabulary is None:
            self._vocabulary = load(profile.chat.tokenizer)
        return token_runs(sample, profile, self._vocabulary)

    @staticmethod
    def _part(text: str | None, media: int | None) -> dict[str, Any]:
        if text is None:
            return {"media": media}
        cut = len(text) - _TEXT_SHOWN
        return {"text": text[:_TEXT_SHOWN], "more": cut} if cut > 0 else {"text": text}


def _why(dropped: Dropped) -> dict[str, str]:
    return {
        "stage": dropped.stage,
        "reason": dropped.reason,
        "detail": dropped.detail,
        "kept_id": dropped.kept_id,
    }
