"""Requests that may succeed later are tried again, as often and as late as is useful."""

import email.utils
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from smolmix import http
from smolmix.http import Retry, TryAgainError


@contextmanager
def server(*replies: tuple[int, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Serve these replies on the loopback, the last one for ever; yields address and requests."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = replies[min(len(seen), len(replies) - 1)]
            seen.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}/x", seen
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


def get(url: str) -> str:
    response = requests.get(url, timeout=5)
    if http.is_busy(response.status_code):
        raise TryAgainError(
            f"HTTP {response.status_code}", http.retry_after(response.headers), reply=response.text
        )
    return response.text


def test_a_busy_server_is_asked_until_it_answers() -> None:
    waits: list[float] = []
    with server((503, {}), (429, {"Retry-After": "7"}), (500, {}), (200, {})) as (url, seen):
        assert Retry(sleep=waits.append).run(lambda: get(url)) == "ok"
    assert len(seen) == 4
    assert waits == [2.0, 7.0, 8.0]


def test_a_server_that_stays_busy_is_given_up() -> None:
    waits: list[float] = []
    with server((503, {})) as (url, seen), pytest.raises(TryAgainError) as caught:
        Retry(attempts=3, first_wait_s=0.5, sleep=waits.append).run(lambda: get(url))
    assert (caught.value.reason, caught.value.reply) == ("HTTP 503", "ok")
    assert (len(seen), waits) == (3, [0.5, 1.0])


def test_no_wait_is_longer_than_allowed() -> None:
    waits: list[float] = []
    with (
        server((503, {"Retry-After": "86400"}), (503, {})) as (url, _),
        pytest.raises(TryAgainError),
    ):
        Retry(attempts=9, longest_backoff_s=5.0, longest_wait_s=9.0, sleep=waits.append).run(
            lambda: get(url)
        )
    assert waits == [9.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_progress_starts_the_count_again() -> None:
    calls = 0

    def request() -> int:
        nonlocal calls
        calls += 1
        if calls < 6:
            raise TryAgainError("cut", progress=calls % 2 == 0)
        return calls

    waits: list[float] = []
    assert Retry(attempts=3, sleep=waits.append).run(request) == 6
    assert waits == [2.0, 2.0, 4.0, 2.0, 4.0]


def test_other_errors_are_not_tried_again() -> None:
    calls: list[int] = []

    def request() -> None:
        calls.append(1)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        Retry().run(request)
    assert len(calls) == 1


def test_only_statuses_that_may_pass_are_busy() -> None:
    busy = {s for s in range(100, 600) if http.is_busy(s)}
    assert busy >= {408, 409, 425, 429, 500, 502, 503, 504, 529}
    assert not busy & {200, 206, 301, 400, 401, 403, 404, 416, 501, 505}


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3.0), ("0.5", 0.5), ("", None), ("-5", None), ("soon", None)]
)
def test_retry_after_is_a_number(value: str, seconds: float | None) -> None:
    assert http.retry_after({"Retry-After": value}) == seconds


def test_retry_after_is_a_date_too() -> None:
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert http.retry_after({"Retry-After": later}) == pytest.approx(100, abs=2)
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    assert http.retry_after({"Retry-After": past}) == 0.0
    assert http.retry_after({}) is None
