"""`smolmix browse`: the sample browser over all samples, as a local web app.

It answers GET requests only, and only if the Host header names this machine, so that another web
page cannot read samples through a visitor's browser (DNS rebinding). Media are served only as
re-encoded thumbnails.
"""

import json
import socket
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from markupsafe import Markup

from smolmix.errors import SmolmixError
from smolmix.pipelines.report.browser.text_index import Hit, TextIndex
from smolmix.pipelines.report.page.page import asset, environment, policy
from smolmix.pipelines.report.samples.cards import Card, CardMaker
from smolmix.pipelines.report.samples.rows import SampleRows
from smolmix.pipelines.report.samples.thumbnails import Thumbnail
from smolmix.profiles import Profile
from smolmix.sample import Dropped
from smolmix.workspace import Workspace

PAGE = 24
_CARDS_KEPT = 500  # with their pictures
_Made = tuple[Card, dict[str, Thumbnail]]
_SCRIPTS = ("cards.js", "browser.js", "browse.js")


@dataclass(slots=True)
class Library:
    """The samples behind the web app; requests read them one at a time."""

    workspace: Workspace
    index: TextIndex
    profile: Profile | None
    _rows: dict[tuple[str, str], SampleRows] = field(default_factory=dict)
    _cards: OrderedDict[tuple[int, bool], _Made] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def card(self, hit: Hit, *, brief: bool = False) -> Card:
        """Return a sample's card; its pictures can then be requested.

        Args:
            hit: the sample's entry in the index.
            brief: for a list: only the first picture, no tokens.
        """
        key = (hit.n, brief)
        with self._lock:
            if key in self._cards:
                self._cards.move_to_end(key)
                return self._cards[key][0]
            made = self._cards[key] = self._make(hit, brief)
            while len(self._cards) > _CARDS_KEPT:
                self._cards.popitem(last=False)
            return made[0]

    def _make(self, hit: Hit, brief: bool) -> _Made:
        maker = CardMaker(workspace=self.workspace, profile=self.profile)
        dropped = None
        if hit.state == "dropped":
            dropped = Dropped(
                id=hit.id,
                stage=hit.stage,
                reason=hit.reason,
                detail=hit.detail,
                kept_id=hit.kept_id,
            )
        if hit.stage_folder:
            place = (hit.stage_folder, hit.corpus)
            if place not in self._rows:
                self._rows[place] = SampleRows(self.workspace.child(*place))
            sample = self._rows[place].read(hit.row)
            card = maker.card(sample, state=hit.state, dropped=dropped, brief=brief)
        else:
            assert dropped is not None
            card = maker.row_card(dropped, hit.corpus)
        card["key"] = str(hit.n)
        partner = self.index.by_id(hit.kept_id) if hit.kept_id else None
        if partner is not None:
            card["partner"] = str(partner.n)
        return card, maker.pictures

    def picture(self, name: str) -> bytes | None:
        """Return a picture that a recent card references, or None."""
        with self._lock:
            for _card, pictures in reversed(self._cards.values()):
                if name in pictures:
                    return pictures[name].data
        return None


def browse_page(title: str) -> tuple[str, str]:
    """Return the app's HTML page and its content security policy."""
    scripts = [asset(n) for n in _SCRIPTS]
    rules = policy(scripts, connect="'self'", images="'self'")
    page = (
        environment()
        .get_template("browse.html.jinja")
        .render(
            title=title,
            css=Markup(asset("report.css")),
            scripts=[Markup(s) for s in scripts],
        )
    )
    return page, rules


class _Handler(BaseHTTPRequestHandler):
    server: "BrowseServer"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request."""
        if not self._host_is_ours():
            self._send(
                HTTPStatus.FORBIDDEN,
                "text/plain",
                b"requests must name this machine as their host\n",
            )
            return
        parts = urlsplit(self.path)
        try:
            kind, body = self._answer(parts.path, dict(parse_qsl(parts.query)))
        except (SmolmixError, ValueError, OverflowError, OSError) as error:
            bad_request = isinstance(error, ValueError | OverflowError)
            status = HTTPStatus.BAD_REQUEST if bad_request else HTTPStatus.INTERNAL_SERVER_ERROR
            text = json.dumps({"error": str(error)}).encode()
            self._send(status, "application/json", text)
            return
        if body is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
        else:
            self._send(HTTPStatus.OK, kind, body)

    def _host_is_ours(self) -> bool:
        if self.server.open_to_others:
            return True
        host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]").lower()
        return host in self.server.hosts

    def _answer(self, path: str, query: dict[str, str]) -> tuple[str, bytes | None]:
        library = self.server.library
        if path == "/":
            return "text/html; charset=utf-8", self.server.page.encode()
        if path.startswith("/media/"):
            return "image/webp", library.picture(path.removeprefix("/media/"))
        value: object
        if path == "/api/facets":
            value = library.index.facets()
        elif path == "/api/samples":
            page = max(0, int(query.pop("page", "0")))
            total, hits = library.index.query(query, page, PAGE)
            value = {"total": total, "cards": [library.card(h, brief=True) for h in hits]}
        elif path == "/api/sample":
            hit = library.index.get(int(query.get("key", "-1")))
            value = library.card(hit) if hit else None
        else:
            return "", None
        return "application/json", json.dumps(value).encode()

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", self.server.rules)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Do not log single requests."""


class BrowseServer(ThreadingHTTPServer):
    """The web app's server; `serve_forever` runs it."""

    daemon_threads = True

    def __init__(self, library: Library, host: str, port: int, title: str):
        """Bind to `host` and `port`; port 0 takes any free port."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.library = library
        self.page, self.rules = browse_page(title)
        self.hosts = {"localhost", "127.0.0.1", "::1"}
        self.open_to_others = host.lower() not in self.hosts

    @property
    def url(self) -> str:
        """The address of the app."""
        host, port = self.server_address[:2]
        name = host if isinstance(host, str) else host.decode()
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/"
