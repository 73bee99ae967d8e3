"""Conversations about images and clips that exist only as measures."""

import random

from smolmix.sample import Media, Sample, turns_of

TEXT = "What is in the picture ? 12 345 3.14 naïve 東京 😀 don't I'll x=y² ½ User: … end"
WORDS = [
    *TEXT.split(),
    *(" two", "\n\n", "new\tline", "code(){return 0;}", "Assistant:", ""),
]


def conversation(*turns: tuple[str, object], media: tuple[Media, ...] = ()) -> Sample:
    """Return a sample from (role, content) pairs; see `turns_of`."""
    return Sample(
        id="c/0", corpus="c", modality="image" if media else "text", category="vqa",
        turns=turns_of(*turns),  # type: ignore[arg-type]  # any text, not a literal
        media=media, licence="cc0", source_file="f", source_row=0,
    )  # fmt: skip


def picture(width: int, height: int) -> Media:
    """Return a measured image without bytes."""
    return Media(kind="image", refs=(), width=width, height=height)


def clip(frames: int, fps: float) -> Media:
    """Return a measured video without bytes."""
    return Media(kind="video", refs=(), width=64, height=48, frames=frames, fps=fps,
                 duration_s=frames / fps)  # fmt: skip


def conversations() -> list[Sample]:
    """Return 24 conversations: with and without images, of one turn and several."""
    draw = random.Random(7)

    def text() -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 25)))

    sizes = [(64, 64), (640, 480), (1000, 1414), (3000, 500), (1, 300)]
    out = [
        conversation(("user", "Hi"), ("assistant", "Hello there.")),
        conversation(("system", "Be brief."), ("user", text()), ("assistant", "7")),
        conversation(("user", [0, "What is this?"]), ("assistant", "A cat"),
                     media=(picture(640, 480),)),
        conversation(("user", ["Look at ", 0, " and ", 1, ", compare"]), ("assistant", "Equal."),
                     media=(picture(64, 64), picture(1000, 1414))),
        conversation(("user", [0]), ("assistant", " leading space\nand lines\n"),
                     media=(picture(200, 200),)),
        conversation(("user", ["", 0, "\n\nquestion"]), ("assistant", "Ans:\n\n1. x"),
                     media=(picture(300, 100),)),
    ]  # fmt: skip
    for i in range(18):
        media = tuple(picture(*draw.choice(sizes)) for _ in range(i % 3))
        turns: list[tuple[str, object]] = []
        for t in range(1 + i % 4):
            content: list[object] = [text()]
            if t == 0:
                content = [*range(len(media)), text()] if i % 2 else [text(), *range(len(media))]
            turns += [("user", content), ("assistant", text())]
        out.append(conversation(*turns, media=media))
    return out
