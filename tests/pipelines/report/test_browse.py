"""The local web app: paging and search over everything, this machine only, pictures only."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import polars as pl
import pytest

from smolmix.errors import IncompleteError, UsageError
from smolmix.pipelines.report.browser.run import index_path, open_browser
from smolmix.pipelines.report.browser.server import PAGE, BrowseServer
from smolmix.pipelines.report.browser.text_index import TextIndex, build_index
from smolmix.workspace import Workspace


@pytest.fixture(scope="module")
def server(shop: Workspace) -> Iterator[BrowseServer]:
    with open_browser(shop) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: BrowseServer, path: str, *, host: str | None = None, method: str = "GET", **query: Any
) -> tuple[int, bytes, str]:
    place = urlsplit(server.url).netloc
    link = http.client.HTTPConnection(place, timeout=30)
    link.request(method, f"{path}?{urlencode(query)}", headers={"Host": host or place})
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer.status, body, answer.headers.get("Content-Security-Policy", "")


def samples(server: BrowseServer, **query: Any) -> dict[str, Any]:
    status, body, _ = ask(server, "/api/samples", **query)
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def test_pages_together_hold_every_sample_once(server: BrowseServer, shop: Workspace) -> None:
    curated = pl.read_parquet(f"{shop.path}/curated/*/part-00000.parquet")["id"].to_list()
    kept: list[str] = []
    total = samples(server, state="kept")["total"]
    for page in range(-(-total // PAGE)):
        kept += [c["id"] for c in samples(server, state="kept", page=page)["cards"]]
    assert sorted(kept) == sorted(curated)
    assert total == len(curated) == 52


def test_search_finds_words_of_turns_ids_and_reasons(server: BrowseServer) -> None:
    assert [c["id"] for c in samples(server, q="picture number 12")["cards"]] == ["shots//012"]
    assert samples(server, q="PICT")["total"] == 30  # a beginning, in any case
    assert samples(server, q="nowhere to be found")["total"] == 0
    assert samples(server, q='"; drop table sample; --')["total"] == 0
    assert samples(server, q="duplicate OR NEAR(")["total"] == 0
    assert samples(server, q="picture\0number 12")["total"] == 1
    assert samples(server, reason="duplicate-near")["total"] == 2
    assert samples(server, state="pair")["total"] == 2
    assert samples(server, cot="declared", corpus="shots")["total"] == 3


def test_numbers_beyond_what_can_be_stored_are_answered_as_wrong(server: BrowseServer) -> None:
    assert ask(server, "/api/sample", key=10**30)[0] == 400
    assert ask(server, "/api/samples", page=10**20)[0] == 400


def test_an_index_may_lie_in_a_folder_of_any_name(shop: Workspace, tmp_path: Path) -> None:
    at = tmp_path / "50%41 #1?" / "index.sqlite"
    build_index(shop, ["shots"], at)
    assert TextIndex(at).query({"corpus": "shots", "state": "kept"}, 0, 1)[0] == 26


def test_the_loopback_address_of_ipv6_is_one_of_this_machines_names(shop: Workspace) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with open_browser(shop, host="::1") as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        assert running.url.startswith("http://[::1]:")
        assert samples(running, state="kept")["total"] == 52
        assert ask(running, "/", host="elsewhere.example")[0] == 403
        running.shutdown()


def test_a_duplicate_names_its_partner_and_the_partner_is_there(server: BrowseServer) -> None:
    card = samples(server, reason="duplicate-near")["cards"][0]
    status, body, _ = ask(server, "/api/sample", key=card["partner"])
    assert status == 200
    assert json.loads(body)["id"] == card["kept_id"]


def test_pictures_are_served_by_content_name_alone(server: BrowseServer) -> None:
    card = next(c for c in samples(server, corpus="shots")["cards"] if c["media"])
    status, body, _ = ask(server, "/media/" + card["media"][0]["picture"])
    assert (status, body[:4], body[8:12]) == (200, b"RIFF", b"WEBP")
    for path in ("/media/../../raw/shots/r1/000.png", "/raw/shots/fetch.json", "/media/"):
        assert ask(server, path)[0] == 404


def test_only_this_machines_names_are_answered_and_only_to_get(server: BrowseServer) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"
    assert ask(server, "/", host="evil.example")[0] == 403
    assert ask(server, "/api/facets", host="evil.example:80")[0] == 403
    assert ask(server, "/", host="localhost")[0] == 200
    assert ask(server, "/", method="POST")[0] == 501
    assert ask(server, "/api/samples", page="x")[0] == 400
    assert not server.open_to_others
    policy = ask(server, "/")[2]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_an_index_is_built_once_for_a_state_of_the_corpora(
    server: BrowseServer, shop: Workspace
) -> None:
    corpora = shop.corpora("curated")
    assert server.library.index.query({}, 0, 1)[0] == 57
    assert not build_index(shop, corpora, index_path(shop, corpora))
    assert build_index(shop, corpora[:1], index_path(shop, corpora[:1]))


def test_a_wrong_corpus_and_an_empty_workspace_are_refused(
    shop: Workspace, workspace: Workspace
) -> None:
    with pytest.raises(UsageError, match="did you mean 'shots'"):
        open_browser(shop, ["shot"])
    with pytest.raises(IncompleteError, match="no corpus is curated"):
        open_browser(workspace)


def test_the_app_works_in_a_browser_and_a_hostile_caption_stays_text(
    server: BrowseServer, chromium: Any, hostile: str
) -> None:
    page = chromium.new_page()
    faults: list[str] = []
    requests: list[str] = []
    page.on("console", lambda m: faults.append(m.text))
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.on("request", lambda r: requests.append(r.url))
    page.goto(server.url + "#browse?corpus=shots")
    page.wait_for_selector("html[data-browser=ready]", state="attached")
    page.fill("[name=q]", "shots 000")
    page.wait_for_timeout(700)
    assert page.text_content("#status") == "1 sample"
    page.click("#cards a")
    page.wait_for_selector("dialog[open] svg.grid")
    assert hostile in page.text_content("dialog .turn.assistant")
    assert page.title().startswith("Samples of")
    page.click("#close")
    page.click("#clear")
    page.wait_for_timeout(500)
    before = page.locator("#cards li").count()
    page.click("#more")
    page.wait_for_timeout(700)
    assert page.locator("#cards li").count() > before == PAGE
    page.close()
    assert faults == []
    assert all(url.startswith((server.url, "data:")) for url in requests)
