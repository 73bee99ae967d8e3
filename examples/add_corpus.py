"""Add a corpus whose rows no catalogue format fits: write an adapter and register it.

An adapter turns one published row into samples. Registered like this, a corpus exists in this
process only; to share it, put it in pipelines/corpora as CONTRIBUTING.md shows.
Run: python examples/add_corpus.py
"""

import json
from collections.abc import Iterator
from pathlib import Path

import smolmix
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Local, Source
from smolmix.sample import turns_of

WORKSPACE = "example-workspace"
FOLDER = Path("riddles")
ROWS = (
    {"n": 1, "riddle": "What has keys and opens no door?", "solution": "A piano.", "level": 2},
    {"n": 2, "riddle": "What runs but never walks?", "solution": "A river.", "level": 1},
    {"n": 3, "riddle": "What gets wetter as it dries?", "solution": "", "level": 3},
    {"n": 4, "riddle": "What has a neck and no head?", "solution": "A bottle.", "level": "easy"},
)


def adapt(row: Row) -> Iterator[smolmix.Sample]:
    """Yield the sample of one row; a row that cannot be used is dropped with a reason."""
    level = row.values.get("level")
    if not isinstance(level, int):
        raise RowError("level-missing", f"level: {level!r}")
    yield row.sample(
        key=row.values["n"],
        turns=turns_of(("user", row.text("riddle")), ("assistant", row.text("solution"))),
        category="riddle",
        tags={"level": str(level)},  # mixtures can select by it: `where: tags.level == 1`
    )


def main() -> None:
    """Register the corpus, and curate it like any other."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "riddles.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    smolmix.register_corpus(
        Source(
            id="riddles",
            title="Riddles",
            role="user",
            modality="text",
            licence="CC0-1.0",
            origin=Local(url=str(FOLDER.resolve())),
            format=JsonLines(),
            adapt=adapt,
            rows_in=("*.jsonl",),
        )
    )
    smolmix.fetch_corpus("riddles", WORKSPACE)
    print("\n".join(smolmix.curate_corpus("riddles", WORKSPACE).lines()))
    for sample in smolmix.read_samples("riddles", WORKSPACE):
        print(f"  {dict(sample.tags)['level']}: {[turn.text for turn in sample.turns]}")


if __name__ == "__main__":
    main()
