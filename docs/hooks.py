"""What mkdocs does for this repository besides its own: pages and links outside docs/.

Pages link to each other as they do on a code host, by paths in the repository. Some of those
files become pages of the site (`PAGES`); a link to any other file is shown as plain text, or, where
mkdocs.yml sets `repo_url`, leads to the file there.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Path in the repository to path in the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "benchmarks/index.md",
    **{
        path.relative_to(ROOT).as_posix(): f"benchmarks/{path.parent.name}.md"
        for path in sorted((ROOT / "benchmarks").glob("*/RESULTS.md"))
    },
}
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Return the files of docs/ and those of `PAGES`."""
    for path, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links to files of the repository turned into links of the site."""
    source = Path(str(page.file.abs_src_path)).resolve().relative_to(ROOT).as_posix()
    at = posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        text, target = found["text"], found["target"]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        path, _, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        uri = PAGES.get(path) or (path[len("docs/") :] if path.startswith("docs/") else None)
        if uri is not None:
            return f"[{text}]({posixpath.relpath(uri, at)}{'#' + anchor if anchor else ''})"
        if not (ROOT / path).exists():
            return found[0]  # mkdocs then warns, and a strict build fails
        return f"[{text}]({config.repo_url}/blob/main/{path})" if config.repo_url else text

    return _LINK.sub(link, markdown)
