"""A small HTTP server with ranges that can be told to misbehave."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """Files by path, and what goes wrong with each request in turn."""

    files: dict[str, bytes] = field(default_factory=dict)
    # What happens to the next requests: ("cut", bytes) | ("status", code, retry_after) |
    # ("whole",) answers 200 to a range | ("shift",) answers another range than asked.
    trouble: list[tuple[object, ...]] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    tokens: list[str] = field(default_factory=list)
    gated: str = ""  # a path prefix that needs a token
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(head=True)

        def do_GET(self) -> None:
            self._answer(head=False)

        def _refuse(self, status: int, retry_after: str = "") -> None:
            self.send_response(status)
            if retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _answer(self, *, head: bool) -> None:
            asked = self.headers.get("Range", "")
            with site.lock:
                site.requests.append((self.command, self.path, asked))
                site.tokens.append(self.headers.get("Authorization", ""))
                trouble = site.trouble.pop(0) if site.trouble and not head else ()
            if site.gated and self.path.startswith(site.gated) and not site.tokens[-1]:
                return self._refuse(401)
            if self.path not in site.files:
                return self._refuse(404)
            if trouble[:1] == ("status",):
                return self._refuse(int(str(trouble[1])), str(trouble[2]))
            data = site.files[self.path]
            etag = f'"{hashlib.md5(data).hexdigest()}"'
            low, _, high = asked.removeprefix("bytes=").partition("-")
            start, end = int(low or 0), int(high or len(data) - 1) + 1
            if self.headers.get("If-Range", etag) != etag or trouble[:1] == ("whole",):
                asked, start, end = "", 0, len(data)
            if trouble[:1] == ("shift",):
                start += 1
            if asked and start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            body = data[start:end]
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if head:
                return None
            if trouble[:1] == ("cut",):
                self.wfile.write(body[: int(str(trouble[1]))])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
                return None
            self.wfile.write(body)
            return None

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()
