"""Downloads one file: continued where it stopped, tried again, checked at the end.

Files that the hub stores in Xet, which is how it serves large files, come through `huggingface_hub`
and `hf_xet`. All others come through our own requests: `hf_hub_download` deletes what arrived when
it is killed (huggingface_hub 2.4), and a 50 GB archive would start again from its first byte.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from smolmix import http
from smolmix.errors import DataError, IntegrityError, UsageError
from smolmix.http import Retry, TryAgainError

_CHUNK = 1 << 20
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class XetFile:
    """Where the hub has a file that it stores in Xet."""

    endpoint: str
    repo: str
    revision: str  # a commit
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file to download, and what is known about it beforehand."""

    url: str
    size: int | None = None
    sha256: str = ""
    git_oid: str = ""  # sha1 of a git blob, for small files of a hub repository
    xet: XetFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloader:
    """Downloads files. Attempts are counted from zero again whenever bytes arrived."""

    token: str | None = None  # sent only to addresses that start with `token_for`
    token_for: str = ""
    refused: str = ""  # what to do if the server refuses access: where to accept terms
    retry: Retry = Retry()  # noqa: RUF009  # frozen
    timeout_s: float = 30.0

    def size_of(self, url: str) -> int | None:
        """Return the size that the server states, or None."""
        try:
            with requests.head(
                url, headers=self._headers(url), timeout=self.timeout_s, allow_redirects=True
            ) as response:
                length = response.headers.get("Content-Length")
                return int(length) if response.ok and length else None
        except _BROKEN:
            return None

    def download(self, target: Target, into: Path) -> str:
        """Return the sha256 of a file downloaded to `into`, which may have its first bytes already.

        Raises:
            UsageError: the server refuses: the corpus is gated or needs a token.
            DataError: there is no such file, or the server stayed unreachable or busy.
            IntegrityError: the bytes are not what was listed.
        """
        into.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, True):
            if target.xet is None:
                self._complete(target, into)
            else:
                self._from_xet(target, target.xet, into)
            sha256, git_oid = digests(into)
            if (not target.sha256 or target.sha256 == sha256) and (
                not target.git_oid or target.git_oid == git_oid
            ):
                _state(into).unlink(missing_ok=True)
                return sha256
            into.unlink()
            if last:
                raise IntegrityError(
                    f"{target.url}: its bytes have sha256 {sha256}, the listing says "
                    f"{target.sha256 or target.git_oid}; two downloads agree: the publisher "
                    "changed the file; fetch another revision"
                )
        raise AssertionError

    def read_range(self, target: Target, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`.

        Raises:
            UsageError: the server refuses access.
            DataError: it does not support ranges, or stayed unreachable or busy.
        """
        try:
            return self.retry.run(lambda: self._range(target, start, end))
        except TryAgainError as error:
            raise DataError(
                f"{target.url}: {error}, {self.retry.attempts} times in a row; run again later"
            ) from error

    def _range(self, target: Target, start: int, end: int) -> bytes:
        headers = self._headers(target.url) | {"Range": f"bytes={start}-{end - 1}"}
        try:
            with requests.get(
                target.url, headers=headers, stream=True, timeout=self.timeout_s
            ) as response:
                self._check(response, target)
                if response.status_code != 206 or _start(response) != start:
                    raise DataError(
                        f"{target.url}: the server does not support ranges; fetch without --for"
                    )
                data = response.raw.read(end - start, decode_content=False)
        except _BROKEN as error:
            raise TryAgainError(f"the connection broke ({type(error).__name__})") from error
        if len(data) != end - start:
            raise TryAgainError("the connection closed early")
        return bytes(data)

    def _complete(self, target: Target, into: Path) -> None:
        try:
            self.retry.run(lambda: self._continue(target, into))
        except TryAgainError as error:
            raise DataError(
                f"{target.url}: {error}, {self.retry.attempts} times in a row; what arrived is "
                "kept: run the same command later"
            ) from error

    def _continue(self, target: Target, into: Path) -> None:
        """Ask for what is missing and append it.

        Raises:
            TryAgainError: some of it is still missing.
            IntegrityError: more arrived than was listed, or less though the server sent all.
        """
        before = _size(into)
        if target.size is not None and before == target.size:
            into.touch()
            return
        try:
            stated = self._stream(target, into)
            after = _size(into)
            if target.size is not None and after < target.size and not stated:
                raise TryAgainError("the connection closed early")
        except TryAgainError as error:
            error.progress = _size(into) > before
            raise
        if target.size is not None and after != target.size:
            into.unlink()
            raise IntegrityError(
                f"{target.url}: {after:,} bytes arrived, the listing says {target.size:,}; "
                "the publisher changed the file; fetch another revision"
            )

    def _from_xet(self, target: Target, file: XetFile, into: Path) -> None:
        try:
            self.retry.run(lambda: self._through_hub_library(target, file, into))
        except TryAgainError as error:
            raise DataError(
                f"{target.url}: {error}, {self.retry.attempts} times in a row; run the same "
                "command later"
            ) from error

    def _through_hub_library(self, target: Target, file: XetFile, into: Path) -> None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()  # fetch reports each file itself
        folder = into.with_name(f"{into.name}.hub")
        try:
            path = hf_hub_download(
                file.repo,
                file.path,
                repo_type="dataset",
                revision=file.revision,
                endpoint=file.endpoint,
                token=self.token or False,
                local_dir=folder,
            )
        except GatedRepoError as error:
            raise UsageError(f"{target.url}: refused; {self.refused}") from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in (401, 403, 404):
                raise DataError(f"{target.url}: the server answers {status}") from error
            wait_s = http.retry_after(error.response.headers)
            raise TryAgainError(f"the server answers {status}", wait_s) from error
        except (OSError, RuntimeError, network_error()) as error:  # hf_xet raises RuntimeError
            raise TryAgainError(f"the transfer failed ({type(error).__name__})") from error
        os.replace(path, into)
        shutil.rmtree(folder)

    def _stream(self, target: Target, into: Path) -> bool:
        """Send one request; append what arrives, or start again if the server cannot continue.

        Returns:
            Whether the server stated the length, so that a short answer cannot be an accident.
        """
        have = _size(into)
        headers = self._headers(target.url)
        if have:
            headers["Range"] = f"bytes={have}-"
            if etag := _etag(into):
                headers["If-Range"] = etag
        try:
            with requests.get(
                target.url, headers=headers, stream=True, timeout=self.timeout_s
            ) as response:
                self._check(response, target)
                if response.status_code == 416:
                    if _total(response) != have:
                        into.unlink()
                        raise TryAgainError("the file changed while it was fetched", 0.0)
                    return True
                goes_on = response.status_code == 206 and _start(response) == have
                if response.status_code == 206 and not goes_on:
                    into.unlink()
                    raise TryAgainError("the server sent another range than requested", 0.0)
                _state(into).write_text(json.dumps({"etag": response.headers.get("ETag", "")}))
                with into.open("ab" if goes_on else "wb") as out:
                    for chunk in response.raw.stream(_CHUNK, decode_content=False):
                        out.write(chunk)
                return "Content-Length" in response.headers
        except _BROKEN as error:
            raise TryAgainError(f"the connection broke ({type(error).__name__})") from error

    def _check(self, response: requests.Response, target: Target) -> None:
        status = response.status_code
        if status in (401, 403):
            raise UsageError(
                f"{target.url}: refused ({status}); {self.refused or 'it is not public'}"
            )
        if http.is_busy(status):
            raise TryAgainError(f"the server answers {status}", http.retry_after(response.headers))
        if status >= 400 and status != 416:
            raise DataError(
                f"{target.url}: the server answers {status}; there is no such file at this "
                "revision; look at the corpus's page, or fetch another revision"
            )

    def _headers(self, url: str) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "smolmix"}
        if self.token and self.token_for and url.startswith(self.token_for):
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def network_error() -> type[Exception]:
    """Return the base class of what the hub library's HTTP client raises, not an OSError."""
    client = sys.modules.get("httpx2") or sys.modules.get("httpx")
    found: type[Exception] = OSError if client is None else client.HTTPError
    return found


def digests(path: Path) -> tuple[str, str]:
    """Return (sha256, git blob id) of a local file."""
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
            blob.update(chunk)
    return sha256.hexdigest(), blob.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _state(into: Path) -> Path:
    return into.with_name(f"{into.name}.state")


def _etag(into: Path) -> str:
    try:
        etag = json.loads(_state(into).read_text())["etag"]
    except (OSError, ValueError, KeyError):
        return ""
    return "" if etag.startswith("W/") else str(etag)  # a weak one does not vouch for bytes


def _start(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None


def _total(response: requests.Response) -> int | None:
    match = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    return int(match.group(1)) if match else None
