"""CONTRIBUTING.md leads to files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_that_the_guide_names_exists() -> None:
    tables = [line for line in GUIDE.splitlines() if line.lstrip().startswith("| ")]
    named = {name for line in tables for name in re.findall(r"`([\w./-]+/[\w./-]*)`", line)}
    missing = sorted(n for n in named if not (ROOT / n).exists())
    assert len(named) >= 20
    assert missing == []


def test_the_guide_lists_at_least_ten_changes_and_where_to_make_them() -> None:
    start = GUIDE.index("| I want to change")
    table = GUIDE[start : GUIDE.index("\n\n", start)]
    assert len(table.splitlines()) - 2 >= 10


def test_the_readme_links_to_the_guide() -> None:
    assert "](CONTRIBUTING.md" in (ROOT / "README.md").read_text()
