"""Documents, help texts and error messages use plain words for the project's terms.

Each entry of `WORDS` is a word in a sense that readers had to translate, with the word to write
instead. Most of these words have other, legitimate senses, so an entry is a pattern that catches
phrases in the unwanted sense and says in `fine` what it has to let through. "tile" in place of
"sub-image" or "frame" is not listed: the word is right where a page defines it, which no pattern
can see.

`python tests/test_words.py` prints every hit as a work list; `--code` adds comments, docstrings
and all other strings of the product.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from smolmix.cli import app

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "mixtures", "tokenize", "model", "examples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word in a sense that is not to be used.

    Attributes:
        pattern: A regular expression, case ignored; a space in it matches line ends too.
        write: What to write instead.
        why: One short reason.
        caught: Texts that the pattern must find.
        fine: Texts that it must let through.
        near: The hit is let through where this word stands within 200 characters or in the
            path of the file.
    """

    pattern: str
    write: str
    why: str
    caught: tuple[str, ...]
    fine: tuple[str, ...] = ()
    near: str | None = None

    def regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern.replace(" ", r"\s+"), re.IGNORECASE)


WORDS = (
    Word(
        pattern=r"(?<!your\s)\bwish(es|ed)?\b",
        write="constraint, target",
        why="the solver's literature calls it a constraint",
        caught=("When no mixture satisfies the wishes", "| wish | value |"),
        fine=("your wish → the commands",),
    ),
    Word(
        pattern=r"\basked\s+reached\b|(?<!are\s)\basked for\b|\bas asked\b|\bis asked;",
        write="target, requested",
        why="a constraint has a target; a user requests",
        caught=("wish   asked      reached", "to tokenize it as asked"),
        fine=("before they are asked for", "the model is asked 600 questions"),
    ),
    Word(
        pattern=r"\bbinds?\b(?! (to|address))|\bbind together\b",
        write="binding",
        why="a constraint is binding",
        caught=("the plan says what binds:", "those that bind together"),
        fine=("the address to bind to", "a binding constraint"),
    ),
    Word(
        pattern=r"`worth`|\bworth:|\bis worth [\d{]|\|\s*worth\b|\bworth (of|per)\b",
        write="shadow price",
        why="the term of linear programming",
        caught=("its `worth` is 3", "| constraint | worth |"),
        fine=("it is worth reading", "worth a look"),
    ),
    Word(
        pattern=r"\banew\b",
        write="again, rebuild",
        why="archaic",
        caught=("443 samples derived anew", "curated anew since"),
    ),
    Word(
        pattern=r"\bcrowd(s|ed)?\b(?!-)",
        write="dense bucket",
        why="a private word for hash buckets with many near neighbours",
        caught=("media lie in crowds", "| propose, crowds, compare |"),
        fine=("crowd-sourced captions", "crowdsourced"),
    ),
    Word(
        pattern=r"\bverdicts?\b",
        write="removal (of a duplicate), chain-of-thought label, outcome (of a claim)",
        why="only a judge gives a verdict",
        caught=("writes `verdicts/<set>/`", "carries a verdict and its evidence"),
        fine=("Questions without the judge's verdict are excluded.",),
        near="judge",
    ),
    Word(
        pattern=r"\btall(y|ies|ied)\b",
        write="row accounting",
        why="a private word for rows in = kept + dropped + duplicates",
        caught=("the tally of a part",),
    ),
    Word(
        pattern=r"\bunseen (media|rows?|files?|samples?|clips?|images?)\b",
        write="not fetched",
        why="unseen means held out to a reader who trains models",
        caught=("the cost of unseen media",),
        fine=("unseen questions",),
    ),
    Word(
        pattern=(
            r"\bleft out\b|\bleft, and why\b|\bwhat (has )?left\b|\bnothing left for\b"
            r"|\bis left;|\bleaves out\b|\bwhat leaves\b"
        ),
        write="excluded, dropped",
        why="'left' alone can mean kept or gone",
        caught=("left out: held out for evaluation 9,673", "kept  left, and why"),
        fine=("the left edge", "leave it out", "leave the key out"),
    ),
    Word(
        pattern=(
            r"\bas (curated|picked|selected|built) before\b|\bthe before\b|`before`"
            r"|\bbefore's\b"
        ),
        write="previous selection",
        why="an adverb is no noun",
        caught=("picks rows of it as curated before",),
        fine=("a held-out sample before a training one",),
    ),
    Word(
        pattern=(
            r"\bmade (data|corpora|corpus|samples?|chats?|clips|images|pictures|rows|anew"
            r"|by (smolmix|this machine)|on this machine)\b"
            r"|\bcorpora that smolmix makes\b|\bthis machine makes\b|\bto be made\b|`made`"
        ),
        write="generated, synthetic; created (a folder)",
        why="synthetic and generated are the field's words",
        caught=("corpora that smolmix makes", "; name a folder to be made"),
        fine=("rows made by you, not copied", "the change is made in the next step"),
    ),
    Word(
        pattern=r"\bsupply\b(?! (a|an|the|your|it|them)\b)|\bsupplies\b",
        write="candidates",
        why="the samples a component can select from are its candidates",
        caught=("the supply of a stratum",),
        fine=("supply a YAML file",),
    ),
    Word(
        pattern=r"(?<!real\s)(?<!real-)(?<!hello\s)\bworld\b(?! (size|knowledge))",
        write="process group",
        why="PyTorch's own term",
        caught=("one rank of the world",),
        fine=("world size 4", "world_size", "real-world images"),
    ),
    Word(
        pattern=r"`(letter|relaxed|overlap)`|\banls, letter\b|\bletter, overlap\b",
        write="multiple_choice; relaxed_accuracy; rouge_l",
        why="metrics go by the names they have in the literature",
        caught=("exact_match, relaxed, anls, letter, overlap, or auto", "caption → `overlap`"),
        fine=("`relaxed_accuracy`", "the letter of an option", "windows that overlap"),
    ),
    Word(
        pattern=(
            r"\bleaves? as\b|\bothers? leave\b|\b(row|sample)s? that leaves?\b"
            r"|\bothers, which leave\b|\bothers leaves\b|\bnever leave\b"
        ),
        write="dropped because …; unselected",
        why="rows are dropped with a reason",
        caught=("those leave as media-not-selected", "Every row that leaves is in"),
    ),
    Word(
        pattern=r"\bunits? (done|ready|left|to do)\b|[\d}] of [\d{][^ ]* units?\b",
        write="rows, samples, files",
        why="a unit of work says nothing to a user",
        caught=("12 units done", "{} of {} units of {} failed"),
        fine=("a unit has its own manifest",),
    ),
    Word(
        pattern=r"\b(bring|brings|bringing|brought)\b(?! (up|back|about|together)\b)",
        write="download, fetch",
        why="data are downloaded",
        caught=("Bring corpora into the workspace.", "whose media were not brought"),
        fine=("brings back the old order",),
    ),
    Word(
        pattern=r"\b(lie|lies)\b",
        write="is stored, is in, separate from",
        why="files are stored; 'lie apart' has to be translated",
        caught=("Rows without the media that lie apart.", "media are read where they lie"),
        fine=("underlying", "applies"),
    ),
    Word(
        pattern=r"(?<!be\s)\breached\b(?! (by|over|through)\b)|\bin reach\b",
        write="achieved (a target), available",
        why="a target is achieved",
        caught=("asked      reached  binds", "a hub id that is in reach"),
        fine=("the server cannot be reached", "reached over the network"),
    ),
    Word(
        pattern=(
            r"\b(is|are|was|were|be|not) whole\b|\blast whole\b|\ba whole one\b|\bskipped whole\b"
            r"|\bwhole (units?|media|medium|checkpoints?|trials?|parts?|tar|manifests?|ones?)\b"
        ),
        write="complete, finished",
        why="a stage that has ended is complete",
        caught=("skipping what is whole", "not there or not whole", "the last\nwhole checkpoint"),
        fine=("the whole corpus", "the whole workspace", "in whole samples"),
    ),
    Word(
        pattern=r"\bbeside\b",
        write="next to, alongside, with",
        why="rare in American technical English, and often misread as besides",
        caught=("is kept beside the run",),
        fine=("besides",),
    ),
    Word(
        pattern=r"\b(media|image|video|visual|audio|weak|weaker|strong) signals?\b|`signals`",
        write="media features",
        why="what is measured of a medium is a feature",
        caught=("the media signals of a part",),
        fine=("stopped by signal 9",),
    ),
    Word(
        pattern=r"\bdedup[ /]origins?\b|\borigins? of (duplicates|copies)\b|`origins?`",
        write="dedup input",
        why="'origin' is where a corpus is published",
        caught=("the table dedup/origins",),
        fine=("the origin of a corpus",),
    ),
    Word(
        pattern=r"(?<!page\s)(?<!segmentation\s)\bfaults?\b(?![- ]toleran)",
        write="error",
        why="what is wrong in a file is an error",
        caught=("each fault of the file is printed",),
        fine=("35,000 page\nfaults", "fault-tolerant", "default"),
    ),
    Word(
        pattern=r"`said`|\bsaid:|\b(is|are|were|be) said\b",
        write="declared (a key); stated, printed",
        why="keys name what they hold",
        caught=("with the reason said: x", "What could not be verified is said"),
        fine=("the model said “no”",),
    ),
    Word(
        pattern=(
            r"\bnot there\b|\bthere already\b|\balready there\b|\b(stands|is) there twice\b"
            r"|\b(is|are) there\b(?! (a|an|any|no|more)\b)|\bthere are: |\bwhat there is\b"
            r"|\bwhere there (is|are) none\b|\bthat are there\b|\bcomponent\s+there\b"
            r"|\b(is|are|not) present\b"
        ),
        write="available, exists, missing, listed twice",
        why="'there' does not say where",
        caught=("picks.parquet: not there; run", "component      there   used", "9 are there and"),
        fine=("is there a GPU?", "there is one reference", "there are three metrics"),
    ),
    Word(
        pattern=(
            r"`layouts?`|^\s*layout:|\|\s*layout\b|\blayouts/|\blayout=|\*\*Layouts?\*\*"
            r"|\b(file|raw|data|published|another|other) layouts?\b"
        ),
        write="file format",
        why="Parquet, JSON lines and tar are formats",
        caught=("    layout: llava", "correct `path`, `layout` or `files`", "| layout | rows |"),
        fine=("the layout of the repository", "page layout"),
    ),
    Word(
        pattern=r"\bpick(s|ed)?\b(?!\()|\bpicking\b",
        write="selection, selected samples, select",
        why="what a mixture selects is its selection",
        caught=("`mixtures/<name>/picks.parquet`", "the media its picks need"),
        fine=("picky", "pick(prompts, key)"),
    ),
    Word(
        pattern=(
            r"\bdraws?\b(?! (no |a |the )?conclusions?\b"
            r"| (a |the )?(box|line|frame|picture|plot)s?\b)"
        ),
        write="samples drawn, selection; resample (a bootstrap)",
        why="a draw is an urn's word, and a verb elsewhere",
        caught=("Of the draw of samples to show.", "Intervals draw whole media"),
        fine=("draws no conclusion", "samples drawn", "drawings", "withdraw"),
    ),
    Word(
        pattern=r"\b(small|fine|finer|coarse|other|that|two) looks?\b|`looks?`",
        write="thumbnail, perceptual hash, descriptor",
        why="a look is a riddle",
        caught=("by a finer look (luma on 20 × 20",),
        fine=("it looks like this", "take a look"),
    ),
    Word(
        pattern=r"(?<!gb\s)\bheld by\b|\block (is )?held\b",
        write="locked by",
        why="a lock locks",
        caught=("mixtures/demo: held by another run",),
        fine=("held-out samples", "20 GB\nheld by the allocator"),
    ),
    Word(
        pattern=r"\bthe first( one)? leads\b|\band leads\b",
        write="the first is the primary metric",
        why="the literature says primary metric",
        caught=("several with commas between, the first one leads.",),
        fine=("which leads to an error",),
    ),
    Word(
        pattern=r"\b(declared|assumed|guessed|estimated|unknown|every|which) figures?\b",
        write="number, estimate",
        why="a number that was not measured is an estimate",
        caught=("every figure says which",),
        fine=("figure 3 of the paper", "figures of a document"),
    ),
    Word(
        pattern=r"95 % (?!(bootstrap |Student )?confidence)(\w+ )?intervals?\b",
        write="95 % confidence interval",
        why="an interval of what?",
        caught=("with 95 % intervals", "the 95 % bootstrap interval"),
        fine=("95 % confidence interval", "95 % bootstrap confidence interval"),
    ),
    Word(
        pattern=r"\bnobody\b(?!/)",
        write="not available in …; not public; unknown",
        why="who 'nobody' is, is not the point",
        caught=("clips whose length nobody says", "an entry that nobody outside can have"),
        fine=('Hub(repo="nobody/sketches")',),
    ),
    Word(
        pattern=r"\breckon(ed|s)?\b",
        write="estimate, count",
        why="archaic",
        caught=("media still to be reckoned",),
    ),
    Word(
        pattern=r"\bsay (files|declared|samples|the most|how (much|many|long)|so (in|with))\b",
        write="print (output); set, write (a key)",
        why="a user sets a key",
        caught=("Say files and bytes only.", "; say declared.duration_s"),
        fine=("they say that", "say what changed"),
    ),
    Word(
        pattern=r"(?<!there\s)\b(is|are) no\b(?! (longer|more|less|fewer|later|earlier|limit)\b)",
        write="is not a …; invalid",
        why="'x is no condition' is not idiomatic",
        caught=("{} is no condition; write", "clips are no duplicates"),
        fine=("there is no limit", "is no longer read", "is not a condition"),
    ),
    Word(
        pattern=(
            r"(?<!one\s)(?<!none\s)(?<!both\s)(?<!each\s)(?<!all\s)(?<!some\s)(?<!any\s)"
            r"(?<!most\s)\bof them\b|\bso too\b|\bthe one (stays|of the lower)\b|\bso does\b"
        ),
        write="the noun again",
        why="the reader should not have to search for what is meant",
        caught=("149,673 of them supervised", "of which the one stays"),
        fine=("one of them", "all of them"),
    ),
    Word(
        pattern=r"\bin all(?=\s*([.,;:)\n]|$|\d)|  )",
        write="in total; total",
        why="dated",
        caught=("(6 min 17 s in all, 3.3 GB)", "in all        376.5"),
        fine=("in all cases", "in all of it"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text of the product and where it is."""

    place: str
    line: int
    text: str


def documents() -> Iterator[Text]:
    """Yield README, CONTRIBUTING, CHANGELOG, the pages of docs/ and the rooms' own READMEs."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    pages += sorted((ROOT / "docs").rglob("*.md"))
    for room in (*ROOMS, "src"):
        pages += sorted((ROOT / room).rglob("README.md"))
    for page in pages:
        if page.is_file():
            yield Text(place=str(page.relative_to(ROOT)), line=1, text=page.read_text())


def help_texts() -> Iterator[Text]:
    """Yield the help of every verb, argument and option of the command line."""

    def walk(command: Any, path: str) -> Iterator[Text]:
        for text in {command.help, command.short_help} - {None}:
            yield Text(place=f"{path} --help", line=1, text=text)
        for param in command.params:
            name = max(param.opts, key=len)
            if text := getattr(param, "help", None):
                yield Text(place=f"{path} {name}", line=1, text=text)
            yield Text(place=f"{path} {name}", line=1, text=" ".join(param.opts))
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, f"{path} {name}")

    yield from walk(typer.main.get_command(app), "smolmix")


def sources() -> Iterator[Path]:
    """Yield the Python files of the product."""
    for folder in (*ROOMS, "src/smolmix"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                yield path


def literal_text(node: ast.AST) -> str:
    """Return the literal parts of an expression, `{}` where a value is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.FormattedValue):
        return "{}"
    if isinstance(node, ast.JoinedStr):
        return "".join(literal_text(value) for value in node.values)
    parts = (literal_text(child) for child in ast.iter_child_nodes(node))
    return " ".join(part for part in parts if part)


def error_messages() -> Iterator[Text]:
    """Yield what every `raise X(...)` of the product says."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                arguments = [*node.exc.args, *(word.value for word in node.exc.keywords)]
                text = " ".join(filter(None, map(literal_text, arguments)))
                if text:
                    yield Text(place=str(path.relative_to(ROOT)), line=node.lineno, text=text)


def other_strings() -> Iterator[Text]:
    """Yield every comment and string of the product, docstrings included."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    for path in sources():
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in kinds:
                place = str(path.relative_to(ROOT))
                yield Text(place=place, line=token.start[0], text=token.string)


def hits(texts: Iterator[Text]) -> Iterator[str]:
    """Yield a line for every hit: place:line: what was found, what to write, why."""
    patterns = [(word, word.regex()) for word in WORDS]
    for text in texts:
        for word, regex in patterns:
            for found in regex.finditer(text.text):
                around = text.text[max(0, found.start() - 200) : found.end() + 200].lower()
                if word.near and (word.near in around or word.near in text.place):
                    continue
                line = text.line + text.text.count("\n", 0, found.start())
                shown = " ".join(text.text[max(0, found.start() - 30) : found.end() + 30].split())
                yield (
                    f"{text.place}:{line}: …{shown}…: {' '.join(found.group().split())!r}; "
                    f"write: {word.write} ({word.why})"
                )


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.write.split(",")[0].split(";")[0])
def test_each_pattern_finds_its_sense_and_lets_others_through(word: Word) -> None:
    regex = word.regex()
    assert word.caught
    for text in word.caught:
        assert regex.search(text), text
    for text in word.fine:
        allowed = word.near is not None and word.near in text.lower()
        assert allowed or not regex.search(text), text


@pytest.mark.parametrize("page", list(documents()), ids=lambda page: page.place)
def test_documents_use_plain_words(page: Text) -> None:
    assert page.text
    assert list(hits(iter([page]))) == []


def test_every_kind_of_document_is_checked() -> None:
    places = {page.place for page in documents()}
    assert places >= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/glossary.md"}


def test_help_texts_use_plain_words() -> None:
    assert sum(1 for _ in help_texts()) >= 100
    assert list(hits(help_texts())) == []


def test_error_messages_use_plain_words() -> None:
    assert sum(1 for _ in error_messages()) >= 200
    assert list(hits(error_messages())) == []


if __name__ == "__main__":
    found = 0
    for kind in (documents, help_texts, error_messages, other_strings):
        if kind is not other_strings or "--code" in sys.argv:
            for line in hits(kind()):
                print(line)
                found += 1
    print(f"{found} hits", file=sys.stderr)
    sys.exit(found > 0)
