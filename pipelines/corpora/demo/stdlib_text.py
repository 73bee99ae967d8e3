"""Standard library text: the sources of Python's standard library, as long documents.

Every machine has them. Modules are cut between top-level statements into documents of at most
6,000 characters, about 2,000 tokens, which is long for the demo's context.
"""

import json
import platform
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source
from smolmix.sample import Sample, turns_of

_MAX_CHARS = 6_000
_MIN_CHARS = 400
_NOT_READ = {
    "test",
    "tests",
    "idle_test",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "__pycache__",
}
_TOP_LEVEL = re.compile(r"^(?=(?:def|class|async def|@|if|for|try|with) ?)", re.MULTILINE)


def _documents(text: str) -> Iterator[str]:
    held = ""
    for piece in _TOP_LEVEL.split(text):
        if held and len(held) + len(piece) > _MAX_CHARS:
            yield held
            held = ""
        held += piece
        while len(held) > _MAX_CHARS:
            cut = held.rfind("\n", 0, _MAX_CHARS) + 1 or _MAX_CHARS
            yield held[:cut]
            held = held[cut:]
    yield held


def _write(folder: Path) -> None:
    root = Path(sysconfig.get_path("stdlib"))
    lines = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if _NOT_READ & set(place.parts):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for number, document in enumerate(d for d in _documents(text) if len(d) >= _MIN_CHARS):
            lines.append(
                json.dumps({"path": place.as_posix(), "part": number, "text": document.strip("\n")})
            )
    (folder / "modules.jsonl").write_text("\n".join(lines) + "\n")


def _adapt(row: Row) -> Iterator[Sample]:
    yield row.sample(
        key=f"{row.text('path')}-{row.values['part']}",
        turns=turns_of(("assistant", row.text("text"))),
        category="code",
        tags={"path": row.text("path")},
    )


SOURCE = Source(
    id="stdlib-text",
    title="Sources of Python's standard library, as long text",
    role="demo",
    modality="text",
    licence="PSF-2.0",
    origin=Generated(
        kind="package",
        name="python standard library",
        revision=platform.python_version,
        write=_write,
    ),
    format=JsonLines(cut_bytes=4 << 20),
    adapt=_adapt,
    rows_in=("*.jsonl",),
)
