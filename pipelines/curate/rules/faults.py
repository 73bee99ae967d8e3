"""Rules that drop what measuring found broken: one rule a kind of fault."""

from dataclasses import dataclass
from typing import ClassVar

from smolmix.pipelines.curate.rules.rule import Rule, View

FAULTS = {
    "image-missing": "the file, row or archive member is not there",
    "image-empty": "0 bytes",
    "image-not-an-image": "HTML, text, an archive, a video: no image format",
    "image-truncated": "the file ends early",
    "image-corrupt": "a decoder or a checksum refuses it",
    "image-bomb": "more pixels than Pillow's decompression-bomb limit (89 Mpx)",
    "video-missing": "the file, row or archive member is not there",
    "video-empty": "0 bytes",
    "video-not-a-video": "HTML, text, an archive, an image: no video format",
    "video-no-picture": "audio alone, or audio with a cover",
    "video-no-frames": "a video stream without a frame",
    "video-truncated": "fewer frames, or seconds, than its header says",
    "video-corrupt": "cannot be decoded at its start, middle or end",
}


def _rule(fault: str) -> type[Rule]:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class FaultRule:
        name: ClassVar[str] = fault

        def why(self, view: View) -> str | None:
            for found in view.sample.errors:
                reason, _, detail = found.partition(":")
                if reason == self.name:
                    return detail.strip() or reason
            return None

    FaultRule.__doc__ = f"{fault}: {FAULTS[fault]}."
    return FaultRule


RULES: tuple[type[Rule], ...] = tuple(map(_rule, FAULTS))
