"""Synthetic chats: two kinds of short chat with nothing in common, for ablations of text.

Subset a: one or two tasks on a list of words. Subset b: a request for a story and the story.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from smolmix.pipelines.corpora.demo.files import text_lines
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Role, Sample, turns_of

ROWS = {"a": 4_000, "b": 4_000, "heldout-a": 300, "heldout-b": 300}
_VOCABULARY = (
    "anchor basket candle desert engine forest garden hammer island jacket kettle ladder meadow"
    " needle orchard pillow quarry ribbon saddle temple umbrella valley window yarn amber bridge"
    " copper dragon ember feather glacier harbour igloo jungle kernel lantern marble north oyster"
    " paper quilt river silver thunder violin whistle"
)
_WORDS = _VOCABULARY.split()
_HEROES = text_lines(
    """
    a young fox
    an old sailor
    a shy robot
    two sisters
    a grey cat
    the baker's son
    a tired postman
    a small dragon
    the last bee
    a clever mouse
    a lost penguin
    the tall gardener
    """
)
_STARTS = text_lines(
    """
    lived beside a quiet lake
    walked to the market before dawn
    found a map under a stone
    heard music behind the hill
    wanted to see the sea
    slept in a broken boat
    kept a secret for years
    missed the only train of the day
    planted a single seed
    waited for the first snow
    """
)
_TURNS = text_lines(
    """
    A storm took the roof away.
    Somebody had left the gate open.
    The bridge was gone by noon.
    A stranger asked for bread and salt.
    Nothing was where it used to be.
    The bell rang thirteen times.
    All the lamps went out at once.
    A letter came with no name on it.
    The path split in three.
    Even the birds were silent that day.
    """
)
_DEEDS = text_lines(
    """
    So they built a raft from old doors.
    It took a week to repair what was lost.
    They sang until the fear was smaller.
    A friend brought rope, tea and courage.
    They followed the warm wind south.
    The answer was written on the moon.
    They shared the little they had.
    They dug where the shadow ended.
    """
)
_ENDS = text_lines(
    """
    In the end everybody ate soup.
    Since then the door is never locked.
    Nobody spoke of it again, but all of them smiled.
    That night the stars seemed closer.
    And the house smelled of oranges for a year.
    It was the best mistake they ever made.
    The children still tell it on rainy days.
    After that, winter came late every year.
    """
)
_ASKED = (
    "Tell me a story about {hero}.",
    "I would like to hear about {hero}.",
    "Can you make up a tale of {hero}?",
    "What happened to {hero}?",
)

Chat = list[str]  # question, answer, question, answer, ...


def _task(chance: random.Random) -> tuple[str, str]:
    some = chance.sample(_WORDS, chance.randint(3, 5))
    listed, word = ", ".join(some), chance.choice(_WORDS)
    return chance.choice(
        (
            (f"Which of these words comes first: {listed}?", some[0]),
            (f"Which word is last in this list: {listed}?", some[-1]),
            (f"Say these words in reverse order: {listed}.", ", ".join(some[::-1])),
            (f"Join these words with a plus sign: {listed}.", " + ".join(some)),
            (f"Repeat the word {word} after {listed}.", f"{listed}, {word}"),
            (f"Spell the word {word}, then say {some[0]}.", f"{'-'.join(word)}, {some[0]}"),
            (f"How many words are in this list: {listed}?", str(len(some))),
        )
    )


def _chat_a(chance: random.Random) -> Chat:
    return [text for _ in range(chance.randint(1, 2)) for text in _task(chance)]


def _chat_b(chance: random.Random) -> Chat:
    hero = chance.choice(_HEROES)
    tale = [f"Once {hero} {chance.choice(_STARTS)}.", *chance.sample(_TURNS, 2)]
    tale += [*chance.sample(_DEEDS, 2), chance.choice(_ENDS)]
    return [chance.choice(_ASKED).format(hero=hero), " ".join(tale)]


_KINDS: dict[str, Callable[[random.Random], Chat]] = {"a": _chat_a, "b": _chat_b}


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    chance = random.Random("made-chats 1")
    seen: set[str] = set()
    for name, count in ROWS.items():
        rows: list[str] = []
        while len(rows) < count:
            line = json.dumps({"chat": _KINDS[name[-1]](chance)})
            if line not in seen:
                seen.add(line)
                rows.append(line)
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    roles: tuple[Role, Role] = ("user", "assistant")
    turns = turns_of(*((roles[n % 2], text) for n, text in enumerate(row.list("chat"))))
    yield row.sample(turns=turns, category="text")


SOURCE = Source(
    id="made-chats",
    title="Synthetic chats: tasks on words (a), little stories (b)",
    role="demo",
    modality="text",
    licence="Apache-2.0",
    origin=Generated(kind="generated", name="made-chats", revision=lambda: "1", write=write),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    subset_of=r"([ab])\.jsonl",
    heldout=r"heldout-",
    rows=sum(ROWS.values()),
    subsets=(
        Subset(name="a", rows=ROWS["a"] + ROWS["heldout-a"], note="tasks on words"),
        Subset(name="b", rows=ROWS["b"] + ROWS["heldout-b"], note="little stories"),
    ),
)
