"""A sample rendered as a chat: a list of texts, special tokens and visual blocks.

Each piece is supervised (its tokens count in the loss) or not. The three chat styles differ only
here: `inference` is what transformers' processor and chat template produce; `released` is what
SmolVLM2's video stage was trained on; `paper` follows the paper's ablations, with a system prompt
per task and an introduction before the media and after them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from num2words import num2words

from smolmix.cost import Grid, clip_frames, clip_timing, frame_time, media_grid
from smolmix.profiles import Profile
from smolmix.sample import Media, Part, Sample, Turn
from smolmix.tokenize.chat import special

# Source: smollm `smolvlm2/smolvlm/datasets/dataset.py`, transformers `processing_smolvlm.py`.
RELEASED_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural "
    "language."
)
RELEASED_IMAGE_INTRO = "Here are some images: "
RELEASED_OUTRO = "Now answer the following question: "
VIDEO_INTRO = (
    "You are provided the following series of {count} frames from a {duration} [H:MM:SS] video.\n"
)
INFERENCE_OUTRO = "\n\n"

# Source: arXiv 2504.05299, finding 6. The paper quotes how they begin; the rest is ours.
PAPER_CONVERSATION = "You are a useful conversational assistant."
PAPER_VISION = "You are a visual agent and should provide concise answers."
# Categories whose answers are prose rather than a word or a number.
PAPER_PROSE = frozenset({"caption", "conversation", "instruction", "reasoning", "description"})


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Ordinary text; even text that spells a special token is encoded as ordinary tokens."""

    text: str
    supervised: bool = False


@dataclass(frozen=True, slots=True)
class SpecialPiece:
    """One special token."""

    token: str
    supervised: bool = False


@dataclass(frozen=True, slots=True)
class VisualBlock:
    """The tokens of one image, or of one frame or an average of frames; never supervised."""

    media: int  # index into the sample's media
    grid: Grid
    first_tile: int  # index of the block's first tile among the medium's tiles


Piece = TextPiece | SpecialPiece | VisualBlock


def is_document(sample: Sample) -> bool:
    """Return whether the sample is plain text for language modelling, without a chat template."""
    return not sample.media and len(sample.turns) == 1 and sample.turns[0].role == "assistant"


def media_order(sample: Sample) -> list[int]:
    """Return the indices into the sample's media, in the order in which the turns show them."""
    return [p.media for t in sample.turns for p in t.parts if p.media is not None]


def render(sample: Sample, profile: Profile) -> list[Piece]:
    """Return the sample's pieces; neighbouring texts of equal supervision are joined into one.

    Args:
        sample: a measured sample; a video needs `frames`, and `fps` or `duration_s`.
        profile: chat style, system prompts and frame sampling.
    """
    if is_document(sample):
        text = sample.turns[0].text
        return [TextPiece(text, True), SpecialPiece(special.END_OF_TEXT, True)]
    return _joined(_Renderer(sample, profile).pieces())


def markup(pieces: Sequence[Piece], profile: Profile, *, mask: bool = False) -> str:
    """Return the pieces as a readable string, for reports and tests.

    Args:
        pieces: from `render`.
        profile: tokens of a tile.
        mask: put supervised pieces between ⟦ and ⟧.
    """
    out = []
    for piece in pieces:
        if isinstance(piece, VisualBlock):
            out.append(block_markup(piece.grid, profile.pixel.tokens_per_tile))
        else:
            shown = piece.text if isinstance(piece, TextPiece) else piece.token
            out.append(f"⟦{shown}⟧" if mask and piece.supervised else shown)
    return "".join(out).replace("⟧⟦", "")


def block_markup(grid: Grid, tokens_per_tile: int) -> str:
    """Return the string of a visual block, as transformers' processor writes it.

    Source: transformers `get_image_prompt_string`.
    """
    image = special.IMAGE * tokens_per_tile
    global_image = f"{special.FAKE}{special.GLOBAL_IMAGE}{image}{special.FAKE}"
    if grid.rows == 0:
        return global_image
    rows = "".join(
        "".join(f"{special.FAKE}{special.position(r, c)}{image}" for c in range(1, grid.cols + 1))
        + "\n"
        for r in range(1, grid.rows + 1)
    )
    return f"{rows}\n{global_image}"


def _joined(pieces: Iterator[Piece]) -> list[Piece]:
    out: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, TextPiece):
            if not piece.text:
                continue
            last = out[-1] if out else None
            if isinstance(last, TextPiece) and last.supervised == piece.supervised:
                out[-1] = TextPiece(last.text + piece.text, piece.supervised)
                continue
        out.append(piece)
    return out


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{int(seconds % 60):02d}"


class _Renderer:
    """Walks one sample's turns and yields pieces in the profile's style."""

    def __init__(self, sample: Sample, profile: Profile):
        self._sample = sample
        self._profile = profile
        self._style = profile.chat.style
        self._introduces_media = profile.chat.media_intro and self._style != "inference"
        shown = [
            (t, p)
            for t, turn in enumerate(sample.turns)
            for p, part in enumerate(turn.parts)
            if part.media is not None
        ]
        self._last_medium = shown[-1] if shown else None

    def pieces(self) -> Iterator[Piece]:
        yield SpecialPiece(special.IM_START)
        system = self._system()
        if system:
            yield from self._turn(-1, Turn(role="system", parts=(Part(text=system),)))
        for index, turn in enumerate(self._sample.turns):
            if system and turn.role == "system":
                continue
            yield from self._turn(index, turn)

    def _system(self) -> str:
        """Return the system prompt to put first, or an empty string to add none."""
        own = next((t for t in self._sample.turns if t.role == "system"), None)
        chat = self._profile.chat
        if self._style == "inference" and not chat.system_prompts:
            return ""  # the sample's own system turn, if any, stays where it is
        if own is not None:
            return own.text
        if not chat.system_prompt:
            return ""
        prompts = dict(chat.system_prompts)
        configured = prompts.get(self._sample.category, prompts.get("*"))
        if configured is not None:
            return configured
        if self._style == "released":
            return RELEASED_SYSTEM
        if self._style == "inference":
            return ""
        prose = not self._sample.media or self._sample.category in PAPER_PROSE
        return PAPER_CONVERSATION if prose else PAPER_VISION

    def _turn(self, index: int, turn: Turn) -> Iterator[Piece]:
        answer = turn.role == "assistant" and turn.supervised
        full = self._profile.chat.loss == "full" and turn.supervised
        body = list(self._body(index, turn, answer or full))
        yield TextPiece(f"{turn.role.capitalize()}:", full)
        if not (body and isinstance(body[0], VisualBlock)):
            # The space is supervised with the answer: a prompt ends with `Assistant:`, so that the
            # model has to produce the space.
            yield TextPiece(" ", answer or full)
        yield from body
        yield SpecialPiece(special.END_OF_UTTERANCE, answer or full)
        yield TextPiece("\n", full)

    def _body(self, index: int, turn: Turn, supervised: bool) -> Iterator[Piece]:
        intro = self._introduces_media and self._opens_with_medium(index, turn)
        for position, part in enumerate(turn.parts):
            if part.text is not None:
                text = part.text.strip() if self._style == "released" else part.text
                yield TextPiece(text, supervised)
            if part.media is None:
                continue
            medium = self._sample.media[part.media]
            if medium.kind == "image":
                if intro and position == 0:
                    yield TextPiece(self._image_intro(), self._full)
                yield VisualBlock(part.media, media_grid(medium, self._profile.pixel), 0)
            else:
                yield from self._clip(part.media, medium, intro and position == 0)
            if self._introduces_media and (index, position) == self._last_medium:
                yield TextPiece(self._outro(), self._full)

    @property
    def _full(self) -> bool:
        return self._profile.chat.loss == "full"

    def _opens_with_medium(self, index: int, turn: Turn) -> bool:
        first_user = next((i for i, t in enumerate(self._sample.turns) if t.role == "user"), -1)
        return index == first_user and bool(turn.parts) and turn.parts[0].media is not None

    def _clip(self, media: int, medium: Media, intro: bool) -> Iterator[Piece]:
        frames = clip_frames(medium, self._profile.pixel)
        # A block that averages frames carries the time of the first one.
        shown = range(0, len(frames), self._profile.chat.frame_average)
        inference = self._style == "inference"
        if inference or intro:
            yield TextPiece(self._clip_intro(len(shown), clip_timing(medium)[0]), self._full)
        for tile in shown:
            lead = "\n" if inference else ""
            yield TextPiece(
                f"{lead}Frame from {_clock(frame_time(medium, frames[tile]))}:", self._full
            )
            yield VisualBlock(media, Grid(rows=0, cols=0), tile)
        if inference:
            yield TextPiece(INFERENCE_OUTRO, self._full)

    def _clip_intro(self, count: int, duration_s: float) -> str:
        if self._style == "paper":
            return f"Here are {count} frames sampled from a video: "
        seconds = int(duration_s) if self._style == "inference" else duration_s
        return VIDEO_INTRO.format(count=num2words(count), duration=timedelta(seconds=seconds))

    def _image_intro(self) -> str:
        if self._style == "released":
            return RELEASED_IMAGE_INTRO
        count = len(self._sample.media)
        return "Here is an image: " if count == 1 else f"Here are {count} images: "

    def _outro(self) -> str:
        if self._style == "released":
            return RELEASED_OUTRO
        if any(m.kind != "image" for m in self._sample.media):
            return "Given this video: "
        return "Given this image: " if len(self._sample.media) == 1 else "Given these images: "
