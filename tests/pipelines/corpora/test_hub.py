"""Six corpora of six formats, from a real hub server and a server with ranges, to samples.

The hub is `olah`, serving local git repositories over the hub's protocol; before it stands a
small proxy that cuts connections and gates a repository. It is looked for at `$SMOLMIX_OLAH` or
`.venv-olah/bin/olah-cli` (`python -m venv .venv-olah && .venv-olah/bin/pip install olah==0.5.4`).
"""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.fetched import fetched
from smolmix.pipelines import corpora as registry
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.pipelines.sources.source import Http, Hub
from smolmix.workspace import Workspace, stage_record

ROOT = Path(__file__).parents[3]
OLAH = os.environ.get("SMOLMIX_OLAH", str(ROOT / ".venv-olah" / "bin" / "olah-cli"))
ON_THE_HUB = ("the-cauldron", "dclm-baseline", "m4-instruct", "vista-400k", "finevideo")
SECRET = "hf_of_a_test"

pytestmark = pytest.mark.skipif(
    shutil.which(OLAH) is None, reason="no olah-cli: see this file's docstring"
)


@dataclass
class Proxy:
    url: str = ""
    gated: str = ""
    cuts: int = 0  # answers still to be cut in the middle
    xet: bool = False  # whether listings say that files are in Xet storage
    requests: list[str] = field(default_factory=list)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _commit_all(repository: Path) -> None:
    user = ["-c", "user.email=t@example.org", "-c", "user.name=t", "-c", "commit.gpgsign=false"]
    for call in (["init", "-q", "-b", "main"], ["add", "."], [*user, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *call], cwd=repository, check=True)


@pytest.fixture
def hub(publish: Callable[..., Any], tmp_path: Path) -> Iterator[str]:
    home = tmp_path / "hub"
    for name in ON_THE_HUB:
        repository = home / "mirrors" / "datasets" / SOURCES[name].hub_id
        repository.mkdir(parents=True)
        publish(SOURCES[name], repository)
        _commit_all(repository)
    port = _free_port()
    (home / "olah.toml").write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nrepos-path = "./repos"\n'
        'mirrors-path = ["./mirrors"]\n[accessibility]\noffline = true\n'
        '[[accessibility.proxy]]\nrepo = "*"\nallow = true\n'
    )
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([OLAH, "-c", "olah.toml"], cwd=home, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1)
            break
        except urllib.error.HTTPError:
            break
        except OSError:
            assert server.poll() is None, (home / "log").read_text()[-2000:]
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait(10)


@pytest.fixture
def proxy(hub: str) -> Iterator[Proxy]:
    state = Proxy()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._pass_on()

        def do_GET(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            token = self.headers.get("Authorization", "")
            with lock:
                state.requests.append(self.path)
                cut = "/resolve/" in self.path and self.command == "GET" and state.cuts > 0
                state.cuts -= cut
            if state.gated in self.path and token != f"Bearer {SECRET}":
                self.send_response(403)
                self.send_header("X-Error-Code", "GatedRepo")
                self.end_headers()
                return
            request = urllib.request.Request(hub + self.path, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    status, headers, body = answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                status, headers, body = error.code, error.headers, error.read()
            if state.xet and "/tree/" in self.path and status == 200:
                body = json.dumps([e | {"xetHash": "0" * 64} for e in json.loads(body)]).encode()
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value.replace(hub, state.url))
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    state.gated = SOURCES["finevideo"].hub_id
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


def fetch(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["fetch", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return getattr(done.exception, "exit_code", -1), str(done.exception)
    return done.exit_code, done.output


def test_six_formats_are_fetched_through_cut_connections_and_adapted(
    proxy: Proxy,
    site: Any,
    publish: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: os.environ.get("HF_TOKEN"))
    space = str(tmp_path / "ws")

    # InkML in a gzipped tar over plain HTTP, cut in the middle and resumed by range.
    ink = SOURCES["mathwriting"]
    publish(ink, tmp_path / "ink")
    site.files["/m.tgz"] = (tmp_path / "ink" / "mathwriting-2024.tgz").read_bytes()
    served = Http(urls=(("mathwriting-2024.tgz", f"{site.url}/m.tgz"),), revision="2024")
    monkeypatch.setitem(registry.SOURCES, "mathwriting", replace(ink, origin=served))
    site.trouble = [("cut", 500), ("cut", 300)]
    assert fetch("mathwriting", "-w", space)[0] == 0
    assert [asked for method, _, asked in site.requests if method == "GET"][1:] != ["", ""]

    proxy.cuts = 3
    code, said = fetch(*(n for n in ON_THE_HUB if n != "finevideo"), "-w", space, "--json")
    assert code == 0, said
    assert proxy.cuts == 0

    # Gated: refused with the way in, before anything is brought; then let in.
    code, said = fetch("finevideo", "--revision", "main", "-w", space)
    assert code == 2
    assert "accept its terms" in said
    assert "HF_TOKEN" in said
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, said = fetch("finevideo", "--revision", "main", "-w", space)
    assert code == 2
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert fetch("finevideo", "--revision", "main", "-w", space)[0] == 0

    workspace = Workspace(space)
    counted = {}
    for name in ("mathwriting", *ON_THE_HUB):
        source = registry.SOURCES[name]
        fixture = json.loads((Path(__file__).parent / "fixtures" / f"{name}.json").read_text())
        record = workspace.raw(name).read_json("fetch.json")
        if isinstance(source.origin, Hub):
            assert len(record["revision"]) == 40
        assert SECRET not in json.dumps(record)
        samples = [
            s
            for u in raw_units(source, workspace)
            for a in read_unit(source, u, workspace)
            for s in a.samples
        ]
        counted[name] = (len(samples), fixture["expect"]["samples"])
    assert all(found == expected > 0 for found, expected in counted.values()), counted
    assert len(counted) == 6

    done = CliRunner().invoke(app, ["curate", *counted, "-w", space, "--workers", "0", "--json"])
    assert done.exit_code == 0, done.output
    for name, (found, _) in counted.items():
        accounting = stage_record(workspace.measured(name)).accounting
        assert accounting.imbalance() == ""
        assert accounting.kept == found

    before = len(proxy.requests)
    assert fetch("the-cauldron", "-w", space)[0] == 0
    assert len(proxy.requests) == before, "what is whole is not asked for again"


def test_files_in_xet_storage_come_through_the_hub_library_and_are_checked(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setenv("HF_ENDPOINT", proxy.url)
    plain, xet = str(tmp_path / "plain"), str(tmp_path / "xet")
    assert fetch("the-cauldron", "-w", plain)[0] == 0
    heads = len([p for p in proxy.requests if "/resolve/" in p])
    proxy.xet, proxy.requests = True, []
    code, said = fetch("the-cauldron", "-w", xet)
    assert code == 0, said
    # The hub library asks where a file is before it downloads: with us, one request is enough.
    assert len([p for p in proxy.requests if "/resolve/" in p]) > heads
    one, two = (fetched(Workspace(w), "the-cauldron").files for w in (plain, xet))
    assert one == two
    assert one
    assert not list(Path(xet).rglob("*.hub"))
