"""The published files of a corpus: at one commit of a hub repository, or at fixed addresses."""

import importlib.util
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import requests

from smolmix.errors import DataError, UsageError
from smolmix.pipelines.fetch.download import Downloader, Target, XetFile, network_error
from smolmix.pipelines.sources.source import Http, Hub, Source

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

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
    media_repos: Mapping[str, str]  # repository -> commit, of media published elsewhere


def endpoint() -> str:
    """Return the hub's address: $HF_ENDPOINT, or the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def authorised(downloader: Downloader, source: Source) -> Downloader:
    """Return the downloader with the user's token, which only the hub gets to see."""
    from huggingface_hub import get_token

    if not isinstance(source.origin, Hub):
        return downloader
    return replace(
        downloader,
        token=get_token(),
        token_for=f"{endpoint()}/",
        refused=how_to_get_access(source),
    )


def how_to_get_access(source: Source) -> str:
    """Return what a user has to do to download a gated corpus."""
    return (
        f"{source.id} is {'gated' if source.gated else 'not public'}: accept its terms at "
        f"{endpoint()}/datasets/{source.hub_id} and put your token in {TOKEN_VARIABLE}"
    )


def listing(
    source: Source,
    revision: str | None = None,
    *,
    media_repos: Mapping[str, str] | None = None,
    downloader: Downloader | None = None,
) -> Listing:
    """Return the published files.

    Args:
        source: the corpus.
        revision: a branch, tag or commit; None: the one that the source names.
        media_repos: commits of the repositories of its media, where they are pinned already.
        downloader: asks for sizes at fixed addresses.

    Raises:
        UsageError: the hub refuses access.
        DataError: the hub cannot be reached, or has no such repository or revision.
    """
    origin = source.origin
    if isinstance(origin, Http):
        server = downloader or Downloader()
        files = [
            _remote(source, path, Target(url=url, size=server.size_of(url)))
            for path, url in origin.urls
        ]
        return Listing(revision=origin.revision, files=_sorted(files), media_repos={})
    assert isinstance(origin, Hub)
    commit, found = _hub(source, origin.repo, revision or origin.revision, "")
    pinned, commits = media_repos or {}, dict[str, str]()
    for folder, repo in origin.media_repos:
        commits[repo], more = _hub(source, repo, pinned.get(repo, "main"), f"{folder}/")
        found += more
    if not found:
        raise DataError(
            f"{source.id}: {origin.repo} at {commit[:12]} has no file that matches "
            f"{', '.join(source.rows_in)}; fetch a revision the adapter was written for"
        )
    return Listing(revision=commit, files=_sorted(found), media_repos=commits)


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
        raise UsageError(f"{repo}: refused; {how_to_get_access(source)}") from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"{repo}: {endpoint()} has no such dataset, or it is hidden; "
            f"{how_to_get_access(source)}"
        ) from error
    except HfHubHTTPError as error:
        raise DataError(
            f"{repo}: {endpoint()} answers {error.response.status_code} for revision {revision}; "
            "check the revision, or try again later"
        ) from error
    except (OSError, network_error()) as error:
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
                xet=_xet(repo, e, commit),
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


def _xet(repo: str, entry: "RepoFile", commit: str) -> XetFile | None:
    """Return where a file is in Xet storage, or None if it is elsewhere or `hf_xet` is missing."""
    if not entry.xet_hash or importlib.util.find_spec("hf_xet") is None:
        return None
    return XetFile(endpoint=endpoint(), repo=repo, revision=commit, path=entry.path)


def _reach(repo: str) -> None:
    """Fail at once where no server answers: the hub library would retry for half a minute."""
    try:
        requests.head(endpoint(), timeout=10)
    except requests.RequestException as error:
        raise _unreachable(repo, error) from error


def _unreachable(repo: str, error: Exception) -> DataError:
    return DataError(
        f"{repo}: {endpoint()} cannot be reached ({type(error).__name__}); check the network "
        "or HF_ENDPOINT; the demo corpora need neither"
    )


def _commit(api: object, repo: str, revision: str, paths: Iterable[str]) -> str:
    """Return the commit of a branch or tag."""
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
        raise DataError(f"{repo}: the hub does not state the commit of {revision}")
    return sha


def _remote(source: Source, path: str, target: Target) -> Remote:
    return Remote(path=path, kind="rows" if source.holds_rows(path) else "media", target=target)


def _sorted(files: Iterable[Remote]) -> tuple[Remote, ...]:
    return tuple(sorted(files, key=lambda f: (f.kind != "rows", f.path)))


def total_bytes(files: Iterable[Remote]) -> int:
    """Return the bytes of the files whose size is known."""
    return sum(f.target.size or 0 for f in files)
