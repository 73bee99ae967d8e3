"""What a corpus publishes: its files at one commit of the hub, or at fixed addresses."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import requests

from smolmix.errors import DataError, UsageError
from smolmix.pipelines.fetch.download import Downloader, Target
from smolmix.pipelines.sources.source import Http, Hub, Source

TOKEN_VARIABLE = "HF_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """One published file."""

    path: str  # in the revision's folder
    kind: Literal["rows", "media"]
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a corpus at one revision, rows first, each in order of path."""

    revision: str
    files: tuple[Remote, ...]
    beside: dict[str, str]  # repository -> commit, of media published elsewhere


def endpoint() -> str:
    """Return the hub's address; HF_ENDPOINT is honoured."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def downloader(source: Source) -> Downloader:
    """Return a downloader that shows the user's token to the hub, and to nobody else."""
    from huggingface_hub import get_token

    if not isinstance(source.origin, Hub):
        return Downloader()
    return Downloader(token=get_token(), token_for=endpoint() + "/", refused=how_to_enter(source))


def how_to_enter(source: Source) -> str:
    """Return what a user does to be let in to a gated corpus."""
    return (
        f"{source.id} is {'gated' if source.gated else 'not public'}: accept its terms at "
        f"{endpoint()}/datasets/{source.hub_id} and put your token in {TOKEN_VARIABLE}"
    )


def listing(
    source: Source, revision: str | None = None, *, beside: Mapping[str, str] | None = None
) -> Listing:
    """Return what is published.

    Args:
        source: the corpus.
        revision: a branch, tag or commit; None: the one the source names.
        beside: commits of the repositories beside it, where they are pinned already.

    Raises:
        UsageError: the hub refuses.
        DataError: the hub cannot be reached, or has no such repository or revision.
    """
    origin = source.origin
    if isinstance(origin, Http):
        server = downloader(source)
        files = [
            _remote(source, path, Target(url=url, size=server.size_of(url)))
            for path, url in origin.urls
        ]
        return Listing(revision=origin.revision, files=_sorted(files), beside={})
    assert isinstance(origin, Hub)
    commit, found = _hub(source, origin.repo, revision or origin.revision, "")
    pinned, commits = beside or {}, dict[str, str]()
    for folder, repo in origin.beside:
        commits[repo], more = _hub(source, repo, pinned.get(repo, "main"), f"{folder}/")
        found += more
    if not found:
        raise DataError(
            f"{source.id}: {origin.repo} at {commit[:12]} has no file that matches "
            f"{', '.join(source.rows_in)}; fetch a revision the adapter was written for"
        )
    return Listing(revision=commit, files=_sorted(found), beside=commits)


def _hub(source: Source, repo: str, revision: str, under: str) -> tuple[str, list[Remote]]:
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(endpoint=endpoint())
    _reach(repo)
    try:
        entries = [
            e
            for e in api.list_repo_tree(
                repo, recursive=True, revision=revision, repo_type="dataset"
            )
            if isinstance(e, RepoFile)
        ]
        commit = _commit(api, repo, revision, (e.path for e in entries))
    except GatedRepoError as error:
        raise UsageError(f"{repo}: refused; {how_to_enter(source)}") from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"{repo}: {endpoint()} has no such dataset, or it is hidden; {how_to_enter(source)}"
        ) from error
    except HfHubHTTPError as error:
        raise DataError(
            f"{repo}: {endpoint()} answers {error.response.status_code} for revision {revision}; "
            "check the revision, or try again later"
        ) from error
    except _network_errors() as error:
        raise _unreachable(repo, error) from error
    found = [
        _remote(
            source,
            under + e.path,
            Target(
                url=hf_hub_url(
                    repo, e.path, repo_type="dataset", revision=commit, endpoint=endpoint()
                ),
                size=e.size,
                sha256=e.lfs.sha256 if e.lfs else "",
                git_oid="" if e.lfs else e.blob_id,
            ),
        )
        for e in entries
        if source.holds_rows(under + e.path) or source.holds_media(under + e.path)
    ]
    for remote in found:
        if remote.path.startswith("/") or ".." in remote.path.split("/"):
            raise DataError(
                f"{repo}: {endpoint()} lists {remote.path!r}, which would not stay in the corpus's "
                "folder; nothing was fetched: do not trust that server"
            )
    return commit, found


def _reach(repo: str) -> None:
    """Fail at once, not after the hub library's half minute of retries, where nobody answers."""
    try:
        requests.head(endpoint(), timeout=10)
    except requests.RequestException as error:
        raise _unreachable(repo, error) from error


def _unreachable(repo: str, error: Exception) -> DataError:
    return DataError(
        f"{repo}: {endpoint()} cannot be reached ({type(error).__name__}); check the network "
        "or HF_ENDPOINT; the demo corpora need neither"
    )


def _network_errors() -> tuple[type[Exception], ...]:
    """Return what the hub library raises: its HTTP client's errors are no OSError."""
    client = sys.modules.get("httpx2") or sys.modules.get("httpx")
    found: list[type[Exception]] = [OSError]
    if client is not None:
        found.append(client.HTTPError)
    return tuple(found)


def _commit(api: object, repo: str, revision: str, paths: Iterable[str]) -> str:
    """Return the commit a branch or tag stands at."""
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    assert isinstance(api, HfApi)
    try:
        sha = api.repo_info(repo, repo_type="dataset", revision=revision).sha
    except GatedRepoError:
        raise
    except (HfHubHTTPError, ValueError, KeyError, TypeError):  # a mirror without this route
        path = next(iter(paths), None)
        url = hf_hub_url(
            repo, path or "README.md", repo_type="dataset", revision=revision, endpoint=endpoint()
        )
        sha = get_hf_file_metadata(url, endpoint=endpoint()).commit_hash
    if not sha:
        raise DataError(f"{repo}: the hub does not say at which commit {revision} stands")
    return sha


def _remote(source: Source, path: str, target: Target) -> Remote:
    return Remote(path=path, kind="rows" if source.holds_rows(path) else "media", target=target)


def _sorted(files: Iterable[Remote]) -> tuple[Remote, ...]:
    return tuple(sorted(files, key=lambda f: (f.kind != "rows", f.path)))


def total_bytes(files: Iterable[Remote]) -> int:
    """Return the bytes of the files whose size is known."""
    return sum(f.target.size or 0 for f in files)


def sizes_unknown(files: Iterable[Remote]) -> Iterator[str]:
    """Yield the paths whose size the server does not state."""
    return (f.path for f in files if f.target.size is None)
