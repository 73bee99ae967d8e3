"""A download goes on where it stopped, waits politely, and is checked to the last byte."""

import email.utils
import hashlib
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smolmix.errors import DataError, IntegrityError, UsageError
from smolmix.http import Retry
from smolmix.pipelines.fetch.download import Downloader, Target

DATA = random.Random(0).randbytes(3_000_000)


def target(site: Any, data: bytes = DATA, **known: Any) -> Target:
    site.files["/f.bin"] = data
    known.setdefault("size", len(data))
    return Target(url=f"{site.url}/f.bin", **known)


def downloader(waits: list[float], retry: Retry = Retry(), **options: Any) -> Downloader:  # noqa: B008  # frozen, so shared safely
    return Downloader(retry=replace(retry, sleep=waits.append), timeout_s=5.0, **options)


def test_a_connection_cut_midway_is_resumed_from_the_byte_it_reached(
    site: Any, tmp_path: Path
) -> None:
    site.trouble = [("cut", 1_000_000), ("cut", 0), ("cut", 500_000)]
    waits: list[float] = []
    sha256 = hashlib.sha256(DATA).hexdigest()
    found = downloader(waits).download(target(site, sha256=sha256), tmp_path / "f")
    assert found == sha256
    assert (tmp_path / "f").read_bytes() == DATA
    ranges = [asked for _, _, asked in site.requests]
    assert ranges[0] == ""
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for r in ranges[1:]]
    assert starts == sorted(starts)
    assert 0 < starts[0] <= 1_000_000
    assert len(waits) == 3


def test_a_new_process_resumes_what_another_left(site: Any, tmp_path: Path) -> None:
    site.trouble = [("cut", 2_000_000), *[("status", 503, "")] * 9]
    with pytest.raises(DataError, match="what arrived is kept"):
        downloader([], Retry(attempts=3)).download(target(site), tmp_path / "f")
    left = (tmp_path / "f").stat().st_size
    assert 0 < left < len(DATA)
    site.trouble, site.requests = [], []
    downloader([]).download(target(site), tmp_path / "f")
    assert site.requests == [("GET", "/f.bin", f"bytes={left}-")]
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_waited_for(site: Any, tmp_path: Path, status: int) -> None:
    site.trouble = [("status", status, ""), ("status", status, "7"), ("status", status, "x")]
    waits: list[float] = []
    downloader(waits).download(target(site), tmp_path / "f")
    assert waits == [2.0, 7.0, 8.0]


@pytest.mark.parametrize(
    "asked", ["999999999", email.utils.formatdate(time.time() + 1e9), "1e308", "-5"]
)
def test_an_absurd_wait_is_capped(site: Any, tmp_path: Path, asked: str) -> None:
    site.trouble = [("status", 429, asked)]
    waits: list[float] = []
    downloader(waits, Retry(longest_wait_s=60.0)).download(target(site), tmp_path / "f")
    assert len(waits) == 1
    assert 0 <= waits[0] <= 60.0


def test_a_server_that_stays_busy_ends_in_one_clear_error(site: Any, tmp_path: Path) -> None:
    site.trouble = [("status", 503, "")] * 20
    waits: list[float] = []
    with pytest.raises(DataError, match="answers 503, 4 times in a row"):
        downloader(waits, Retry(attempts=4)).download(target(site), tmp_path / "f")
    assert len(waits) == 3


def test_a_server_without_ranges_is_asked_from_the_start(site: Any, tmp_path: Path) -> None:
    site.trouble = [("cut", 1_000_000), ("whole",)]
    downloader([]).download(target(site), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_another_range_than_asked_is_never_appended(site: Any, tmp_path: Path) -> None:
    site.trouble = [("cut", 1_000_000), ("shift",)]
    downloader([]).download(target(site), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_not_stitched(site: Any, tmp_path: Path) -> None:
    site.trouble = [("cut", 1_000_000), *[("status", 503, "")] * 9]
    wanted = target(site, size=None)
    with pytest.raises(DataError):
        downloader([], Retry(attempts=2)).download(wanted, tmp_path / "f")
    other = random.Random(1).randbytes(2_500_000)
    site.files["/f.bin"], site.trouble = other, []
    downloader([]).download(wanted, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == other


def test_a_whole_file_of_unknown_size_is_not_fetched_twice(site: Any, tmp_path: Path) -> None:
    wanted = target(site, size=None)
    (tmp_path / "f").write_bytes(DATA)
    downloader([]).download(wanted, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert len(site.requests) == 1


def test_wrong_bytes_are_fetched_once_more_then_refused(site: Any, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="two downloads agree"):
        downloader([]).download(target(site, sha256="0" * 64), tmp_path / "f")
    assert len(site.requests) == 2
    assert not (tmp_path / "f").exists()


def test_a_size_that_is_not_the_listed_one_is_refused(site: Any, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="the listing says"):
        downloader([]).download(target(site, size=len(DATA) + 1), tmp_path / "f")


def test_a_refusal_names_the_way_in_and_never_the_token(site: Any, tmp_path: Path) -> None:
    site.gated = "/"
    wanted = target(site)
    fetcher = downloader([], refused="accept the terms, set HF_TOKEN")
    with pytest.raises(UsageError, match="accept the terms"):
        fetcher.download(wanted, tmp_path / "f")
    secret = "hf_secret"
    downloader([], token=secret, token_for=site.url).download(wanted, tmp_path / "f")
    assert site.tokens[-1] == f"Bearer {secret}"
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert secret.encode() not in kept


def test_the_token_goes_to_the_hub_alone(site: Any, tmp_path: Path) -> None:
    fetcher = downloader([], token="hf_secret", token_for="http://another.example/")
    fetcher.download(target(site), tmp_path / "f")
    assert site.tokens == [""]


def test_a_missing_file_is_an_error_at_once(site: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="answers 404"):
        downloader([]).download(Target(url=f"{site.url}/none"), tmp_path / "f")
    assert len(site.requests) == 1


def test_an_empty_file_is_a_file(site: Any, tmp_path: Path) -> None:
    downloader([]).download(target(site, b""), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b""
