"""The corpora made for ablations: what their answers say is so, and nothing held out is trained."""

import io
import re
from collections import Counter, defaultdict

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from smolmix.cost import clip_frames
from smolmix.media import MediaReader
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.corpora.demo.clip_events import COLOURS
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.profiles import profile
from smolmix.sample import Media, Sample
from smolmix.tokenize.tiles import image
from smolmix.workspace import Workspace

MADE = ("clip-events", "made-chats", "read-tiles", "tile-patterns", "worked-sums")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    space = Workspace(tmp_path_factory.mktemp("made"))
    for name in MADE:
        fetch(SOURCES[name], space)
    return space


@pytest.fixture(scope="module")
def samples(workspace: Workspace) -> dict[str, list[Sample]]:
    return {
        name: [
            sample
            for unit in raw_units(SOURCES[name], workspace)
            for adapted in read_unit(SOURCES[name], unit, workspace)
            for sample in adapted.samples
        ]
        for name in MADE
    }


@pytest.mark.parametrize("name", MADE)
def test_nothing_that_is_held_out_is_trained_on(
    name: str, samples: dict[str, list[Sample]], workspace: Workspace
) -> None:
    reader = MediaReader(workspace)
    shown: dict[str, set[bytes]] = {"train": set(), "heldout": set()}
    for sample in samples[name]:
        asked = [t.text.encode() for t in sample.turns if t.role == "user"]
        media = [reader.read(m.refs[0]) for m in sample.media]
        shown[sample.split].add(b"".join(media or asked))
    assert shown["train"]
    assert shown["heldout"]
    if name == "made-chats":  # a question may be asked again; a whole chat may not
        shown = {s: {str(c.turns).encode() for c in samples[name] if c.split == s} for s in shown}
    assert not shown["train"] & shown["heldout"]


@pytest.mark.parametrize(
    ("name", "most"),
    [("clip-events", 0.45), ("read-tiles", 0.35), ("tile-patterns", 0.45), ("worked-sums", 0.2)],
)
def test_the_question_alone_does_not_tell_the_answer(
    name: str, most: float, samples: dict[str, list[Sample]]
) -> None:
    kinds: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for sample in samples[name]:
        if sample.split == "heldout":
            asked, answer = (t.text for t in sample.turns)
            kinds[dict(sample.tags)["question"]][re.sub(r"\d", "", asked)][answer] += 1
    assert kinds
    for counts in kinds.values():
        right = sum(max(c.values()) for c in counts.values() if c.total() > 20)
        assert right < most * sum(c.total() for c in counts.values())


def test_clips_show_their_colours_in_the_order_that_is_told(
    samples: dict[str, list[Sample]], workspace: Workspace
) -> None:
    reader = MediaReader(workspace)
    nano = profile("nano").pixel
    lengths = {"short": (1, 2), "medium": (3, 4), "long": (6, 8)}
    asked: set[str] = set()
    shown: dict[str, list[str]] = {}
    for sample in [s for s in samples["clip-events"] if s.split == "heldout"][:180]:
        ref = sample.media[0].refs[0]
        if (clip := str(ref)) not in shown:
            with av.open(io.BytesIO(reader.read(ref)), "r") as container:
                rate = float(container.streams.video[0].average_rate or 0)
                frames = [
                    np.asarray(f.to_ndarray(format="rgb24"), np.uint8)
                    for f in container.decode(video=0)
                ]
            assert len(frames) / rate in lengths[sample.subset]
            sampled = clip_frames(Media(kind="video", refs=(), frames=len(frames), fps=rate), nano)
            shown[clip] = _changes([_shape_colour(frames[i]) for i in sampled])
            assert shown[clip] == _changes([_shape_colour(f) for f in frames])
        question, answer = (t.text for t in sample.turns)
        kind = dict(sample.tags)["question"]
        asked.add(kind)
        if kind == "count":
            assert answer == str(len(shown[clip]))
        elif kind == "after":
            before = question.removesuffix("?").split()[-1]
            assert answer == shown[clip][shown[clip].index(before) + 1]
        else:
            assert answer == shown[clip][0 if kind == "first" else -1]
    assert asked == {"first", "last", "count", "after"}


def _shape_colour(frame: NDArray[np.uint8]) -> str:
    """Return the colour that most of the frame is near to; the grey ground is near to none."""
    gaps = {
        name: (np.abs(frame.astype(int) - np.array(rgb)).max(axis=2) < 40).sum()
        for name, rgb in COLOURS.items()
    }
    return max(gaps, key=lambda name: gaps[name])


def _changes(colours: list[str]) -> list[str]:
    return [c for n, c in enumerate(colours) if n == 0 or colours[n - 1] != c]


def test_sums_are_right_and_the_reasoned_ones_alone_declare_it(
    samples: dict[str, list[Sample]],
) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples["worked-sums"]:
        question, said = (t.text for t in sample.turns)
        a, b = map(int, re.findall(r"\d+", question))
        right = str(a + b if dict(sample.tags)["question"] == "add" else a - b)
        if sample.subset == "reasoned":
            assert re.search(rf"= {right}\. The answer is {right}\.$", said)
        else:
            assert said == right
        assert sample.cot == ("declared" if sample.subset == "reasoned" else "none")
        counts[sample.subset][right] += 1
    for answer, count in counts["plain"].items():
        if count > 100:
            assert 0.75 < counts["reasoned"][answer] / count < 1.33


def test_every_place_and_every_sign_is_asked_for(samples: dict[str, list[Sample]]) -> None:
    answers: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for sample in samples["read-tiles"]:
        kind = dict(sample.tags)["question"]
        assert kind == sample.subset
        answers[sample.split, kind][sample.turns[-1].text] += 1
    for split in ("train", "heldout"):
        assert len(answers[split, "read"]) == 10
        assert len(answers[split, "word"]) == 8
        assert len(answers[split, "locate"]) == 4


def test_patterns_are_seen_in_sub_images_and_are_grey_in_the_global_tile(
    samples: dict[str, list[Sample]], workspace: Workspace
) -> None:
    reader, nano = MediaReader(workspace), profile("nano").pixel
    places = ("top left", "top right", "bottom left", "bottom right")
    asked: set[str] = set()
    for sample in [s for s in samples["tile-patterns"] if s.split == "heldout"][::5]:
        picture = image.decode(reader.read(sample.media[0].refs[0]), exif="ignore")
        _grid, tiles = image.split(picture, nano)
        pixels = tiles.astype(float)
        spread = pixels.std(axis=(1, 2)).mean(axis=1)  # of each tile
        assert len(tiles) == 5
        assert spread[4] < 0.15 * spread[:4].max()
        shown = {places[i]: _pattern(pixels[i]) for i in range(4) if spread[i] > 5}
        kind = dict(sample.tags)["question"]
        question, answer = (t.text for t in sample.turns)
        asked.add(kind)
        if kind == "at":
            assert answer == shown[question.removesuffix("?").split(" the ")[1]][0]
        elif kind == "find":
            wanted = question.removesuffix("?").split()[-1]
            assert [p for p, (_, pattern) in shown.items() if pattern == wanted] == [answer]
        else:
            ((place, (colour, pattern)),) = shown.items()
            assert answer == {"where": place, "color": colour, "pattern": pattern}[kind]
    assert asked == {"at", "find", "color", "pattern", "where"}


def _pattern(tile: NDArray[np.float64]) -> tuple[str, str]:
    """Return colour and pattern: the colour's channel goes against the others, by rows or not."""
    wave = tile - tile.mean(axis=(0, 1))
    red, green, blue = wave[..., 0], wave[..., 1], wave[..., 2]
    odd = {"red": (green * blue).sum(), "green": (red * blue).sum(), "blue": (red * green).sum()}
    down = (wave[:-1] * wave[1:]).sum() < 0
    across = (wave[:, :-1] * wave[:, 1:]).sum() < 0
    name = "checks" if down and across else "rows" if down else "columns"
    return max(odd, key=lambda c: odd[c]), name
