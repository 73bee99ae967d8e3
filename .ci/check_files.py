"""Checks that text files end with one newline, and that no file is too large for the repository.

Called by pre-commit with the files of a commit; without arguments it checks every tracked file.
"""

import subprocess
import sys
from pathlib import Path

LARGEST = 512 * 1024  # bytes; what is larger belongs into a release or on a data store


def problem(path: Path) -> str | None:
    """Return what is wrong with a file, or None."""
    if path.is_symlink() or not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) > LARGEST:
        return f"{len(data):,} bytes; at most {LARGEST:,} are allowed"
    if data and b"\0" not in data and (not data.endswith(b"\n") or data.endswith(b"\n\n")):
        return "does not end with exactly one newline"
    return None


def main(names: list[str]) -> int:
    """Print every problem; return 1 if there is one."""
    if not names:
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
        names = [name for name in listed.stdout.decode().split("\0") if name]
    found = [(name, text) for name in names if (text := problem(Path(name)))]
    for name, text in found:
        print(f"{name}: {text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
