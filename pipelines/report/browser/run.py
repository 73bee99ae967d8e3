"""Opens the sample browser for a workspace, building its index first if needed."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from smolmix.errors import IncompleteError, UsageError, nearest
from smolmix.pipelines.report.browser.server import BrowseServer, Library
from smolmix.pipelines.report.browser.text_index import TextIndex, build_index
from smolmix.pipelines.report.figures.figures import recorded_profile
from smolmix.pipelines.stats.samples import choose_profile
from smolmix.storage import digest_json
from smolmix.workspace import Workspace


def index_path(workspace: Workspace, corpora: Sequence[str]) -> Path:
    """Return the path of these corpora's index: among the reports of a local workspace."""
    name = f"browse-{digest_json(list(corpora))[:12]}.sqlite"
    if workspace.is_local:
        return workspace.child("reports", ".browse").local(name)
    return Path(tempfile.gettempdir(), "smolmix-browse", digest_json(workspace.url)[:12], name)


def open_browser(
    workspace: Workspace,
    corpora: Sequence[str] = (),
    *,
    profile: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> BrowseServer:
    """Return a bound server for curated corpora; builds their index first if needed.

    Args:
        workspace: holds the curated corpora.
        corpora: ids; empty for all curated corpora.
        profile: the profile whose counts to show, as for `stats`.
        host: the address to bind to; loopback by default.
        port: 0 for any free port.

    Raises:
        UsageError: a corpus is not curated here, or the address cannot be bound.
        IncompleteError: no corpus is curated.
    """
    known = workspace.corpora("curated")
    if not known:
        raise IncompleteError(
            f"{workspace.url}: no corpus is curated; run `smolmix curate CORPUS` first"
        )
    for name in corpora:
        if name not in known:
            raise UsageError(
                f"browse {name}: no such curated corpus; curated: {', '.join(known)}"
                f"{nearest(name, known)}"
            )
    shown = sorted(corpora) or known
    path = index_path(workspace, shown)
    build_index(workspace, shown, path)
    chosen, _notes = choose_profile(workspace, shown, profile)
    rates = recorded_profile(workspace, chosen, shown[0]) if chosen else None
    library = Library(workspace=workspace, index=TextIndex(path), profile=rates)
    try:
        return BrowseServer(library, host, port, f"Samples of {', '.join(shown)}")
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror or error}; choose another"
        ) from error
