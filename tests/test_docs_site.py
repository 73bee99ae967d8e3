"""The documentation site builds without warnings, and everything in it leads somewhere."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

from smolmix.cli import app

ROOT = Path(__file__).parents[1]
_LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """What a page offers and what it refers to."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in _LOADS and _LOADS[tag] in values and values.get("rel") != "canonical":
            self.loads.append(values[_LOADS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path.read_text()) for path in sorted(site.rglob("*.html"))}


def test_every_relative_link_and_anchor_leads_somewhere(
    site: Path, pages: dict[Path, _Page]
) -> None:
    checked = 0
    for path, page in pages.items():
        if path.name == "404.html":  # served for any address, so its links are absolute
            continue
        for link in page.links:
            if "://" in link or link.startswith("mailto:"):
                continue
            target, _, anchor = unquote(link).partition("#")
            to = (path.parent / target).resolve() if target else path
            to = to / "index.html" if to.is_dir() else to
            assert to.is_relative_to(site.resolve()), f"{path.name}: {link}"
            assert to.exists(), f"{path.name}: {link}"
            if anchor and anchor not in ("__consent",):
                assert anchor in pages[site / to.relative_to(site.resolve())].anchors, (
                    f"{path.name}: {link}"
                )
            checked += 1
    assert checked >= 500


def test_pages_load_nothing_from_other_hosts(pages: dict[Path, _Page]) -> None:
    loads = [load for page in pages.values() for load in page.loads]
    assert len(loads) >= 2 * len(pages)
    assert [load for load in loads if "//" in load] == []


def test_every_page_can_be_reached_from_the_navigation(
    site: Path, pages: dict[Path, _Page]
) -> None:
    start = pages[site / "index.html"]
    linked = {(site / link.partition("#")[0]).resolve() for link in start.links}
    written = {path.resolve() for path in pages if path.name != "404.html"}
    assert written - linked == set()


def _documents() -> list[Path]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [*pages, *sorted(ROOT.glob("pipelines/**/README.md"))]


def _commands() -> Iterator[tuple[str, str]]:
    """Yield each command line of `smolmix` in the code blocks of the documents."""
    for document in _documents():
        name = str(document.relative_to(ROOT))
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", document.read_text(), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"^\s*\$ |^[A-Z_]+=\S+ ", "", line.strip())
                if line.startswith("smolmix ") and "[OPTIONS]" not in line:
                    yield name, line


def test_every_command_of_the_documents_is_one_that_smolmix_takes() -> None:
    checked = 0
    root: Any = typer.main.get_command(app)
    for document, line in _commands():
        words = shlex.split(line, comments=True)[1:]
        words = [word for word in words if word not in ("…", "...")]
        command = root
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{document}: {line}"
            command, words = command.commands[words[0]], words[1:]
        try:
            command.make_context(command.name, words)
        except typer.Exit:
            pass
        except Exception as error:
            pytest.fail(f"{document}: {line}: {error}")
        checked += 1
    assert checked >= 40


# Options of other programs that the documents mention.
_FOREIGN = {"--batch_size", "--data", "--model", "--model_args", "--no-deps", "--no-sync",
            "--tasks", "--work-dir", "--help"}  # fmt: skip


def test_every_option_of_the_documents_is_one_that_help_shows() -> None:
    known = set(_FOREIGN)

    def walk(command: Any) -> None:
        for param in command.params:
            if not getattr(param, "hidden", False):
                known.update(param.opts)
        for child in getattr(command, "commands", {}).values():
            walk(child)

    walk(typer.main.get_command(app))
    checked, unknown = 0, []
    for document in _documents():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z_-]+", document.read_text()):
            checked += 1
            if option not in known:
                unknown.append(f"{document.relative_to(ROOT)}: {option}")
    assert checked >= 150
    assert unknown == []


def test_every_file_of_the_repository_that_documents_mention_exists() -> None:
    tops = "pipelines|mixtures|model|tokenize|src|tests|benchmarks|docs|examples"
    mention = re.compile(rf"`((?:{tops})/[\w./-]+\.(?:py|yaml|jsonl|csv|js|css))`")
    checked, missing = 0, []
    for document in _documents():
        for path in mention.findall(document.read_text()):
            checked += 1
            if not (ROOT / path).exists():
                missing.append(f"{document.relative_to(ROOT)}: {path}")
    assert checked >= 15
    assert missing == []
