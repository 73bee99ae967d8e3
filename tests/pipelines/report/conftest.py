"""A small workspace in the stages' own layout: images, frames, text, what left, a mixture."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace
from PIL import Image

from smolmix.accounting import RowAccounting
from smolmix.engine.stage import RunOptions
from smolmix.mixtures.built.run import build
from smolmix.mixtures.spec.load import parse_spec
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.pipelines.report.run import Report, build_report
from smolmix.profiles import profile
from smolmix.sample import Dropped, Media, MediaRef, Sample, turns_of
from smolmix.schema import dropped_table, to_table
from smolmix.storage import Folder, digest_file, digest_json
from smolmix.workspace import MANIFESTS, STAGE_FILE, FileEntry, Manifest, StageRecord, Workspace

HOSTILE = (
    '</script><script>document.title="pwned"</script><img src=x onerror="document.title=\'pwned\'">'
    "{{ 7 * 7 }} <!-- <script> ]]> \u2028"
)
READY = "html[data-drawn=yes][data-browser=ready]"
_SIZES = ((64, 48), (96, 96), (30, 80))


def _commit(
    folder: Folder,
    stage: str,
    samples: Sequence[Sample],
    dropped: Sequence[Dropped],
    accounting: RowAccounting,
) -> None:
    """Write one unit and the stage's record, as the engine does."""
    entries = []
    tables = (("part-00000.parquet", to_table(samples)),)
    for name, table in (*tables, ("part-00000.dropped.parquet", dropped_table(dropped))):
        with folder.open(name, "wb") as stream:
            pq.write_table(table, stream, compression="zstd", row_group_size=7)
        with folder.open(name) as stream:
            size = int(folder.fs.size(folder.at(name)))
            entries.append(FileEntry(name=name, size=size, digest=digest_file(stream)))
    assert not accounting.imbalance()
    manifest = Manifest(
        stage=stage,
        version=1,
        unit="part-00000",
        key="k",
        inputs={},
        files=tuple(entries),
        accounting=accounting,
        stats={},
    )
    folder.write_json(f"{MANIFESTS}/part-00000.json", manifest.to_json())
    units = {"part-00000": digest_json([e.digest for e in entries])}
    record = StageRecord(
        stage=stage,
        version=1,
        units=units,
        digest=digest_json(units),
        accounting=accounting,
        info={"revision": "r1", "licence": samples[0].licence if samples else ""},
    )
    folder.write_json(STAGE_FILE, asdict(record))


def write_corpus(workspace: Workspace, samples: Sequence[Sample], left: Sequence[Dropped]) -> None:
    """Write `raw`, `measured` and `curated` of one corpus; `left` names samples or whole rows."""
    corpus = samples[0].corpus
    files = [f"raw/{corpus}/r1/{n}" for n in workspace.child("raw", corpus, "r1").names()]
    listed = [{"path": f, "size": workspace.fs.size(workspace.at(f))} for f in files]
    about = {"corpus": corpus, "hub_id": None, "revision": "r1", "complete": True, "files": listed}
    workspace.raw(corpus).write_json("fetch.json", {**about, "licence": samples[0].licence})
    rows = [d for d in left if d.rows]
    before = RowAccounting(rows=len(samples) + len(rows), rows_adapted=len(samples))
    before.samples = before.kept = len(samples)
    after = RowAccounting(samples=len(samples))
    gone = {d.id for d in left if not d.rows}
    for one in left:
        if one.rows:
            before.drop(one)
        elif one.stage == "dedup":
            after.duplicates += 1
        else:
            after.drop(one)
    kept = [s for s in samples if s.id not in gone]
    after.kept = len(kept)
    _commit(workspace.measured(corpus), "measure", samples, rows, before)
    _commit(workspace.curated(corpus), "curate", kept, [d for d in left if not d.rows], after)


def png(workspace: Workspace, uri: str, size: tuple[int, int], seed: int) -> Media:
    """Write a picture under `raw/` and return it as measured."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    workspace.write_bytes(uri, out.getvalue())
    return Media(
        kind="image",
        refs=(MediaRef(uri=uri),),
        digest=f"{seed:032x}",
        format="png",
        width=size[0],
        height=size[1],
        bytes_on_disk=len(out.getvalue()),
    )


def sample(corpus: str, number: int, **changes: Any) -> Sample:
    """Return a measured text sample."""
    question, answer = f"What is {number} and one?", f"It is {number + 1}."
    one = Sample(
        id=f"{corpus}//{number:03d}",
        corpus=corpus,
        modality="text",
        category="vqa",
        turns=turns_of(("user", question), ("assistant", answer)),
        licence="MIT",
        source_file=f"raw/{corpus}/r1/rows.jsonl",
        source_row=number,
        text_chars=len(question + answer),
        text_tokens=16,
        answer_chars=len(answer),
        language="en",
    )
    return replace(one, **changes)


def shots(workspace: Workspace) -> None:
    """Images: three sizes, a hostile caption, CoT, near duplicates, a row that was no sample."""
    samples = []
    for n in range(30):
        size = _SIZES[n % 3]
        picture = png(workspace, f"raw/shots/r1/{n:03d}.png", size, n)
        answer = HOSTILE if n == 0 else f"A picture with number {n}."
        turns = turns_of(("user", [0, f"What is on picture {n}?"]), ("assistant", answer))
        samples.append(
            sample(
                "shots",
                n,
                modality="image",
                media=(picture,),
                category="caption" if n % 4 == 0 else "vqa",
                cot="declared" if n in (1, 2, 13) else "none",
                split="heldout" if n >= 27 else "train",
                turns=turns,
                licence="CC-BY-NC-4.0",
                tags=(("style", "even" if n % 2 == 0 else "odd"),),
            )
        )
    left = [
        Dropped(id="shots//004", stage="filter", reason="answer-empty", detail=HOSTILE),
        Dropped(id="shots//005", stage="filter", reason="image-blank"),
        Dropped(id="shots//006", stage="dedup", reason="duplicate-near", kept_id="shots//007"),
        Dropped(id="shots//008", stage="dedup", reason="duplicate-near", kept_id="shots//009"),
        Dropped(id="rows.jsonl#99", stage="adapt", reason="row-malformed", rows=1, source_row=99),
    ]
    write_corpus(workspace, samples, left)


def clips(workspace: Workspace) -> None:
    """Folders of numbered frames, as a video corpus has them."""
    samples = []
    for n in range(6):
        frames = [png(workspace, f"raw/clips/r1/{n}-{f}.png", (40, 30), 100 + f) for f in range(8)]
        media = Media(
            kind="frames",
            refs=tuple(f.refs[0] for f in frames),
            digest=f"{200 + n:032x}",
            format="png",
            width=40,
            height=30,
            frames=8,
            fps=2.0,
            duration_s=4.0,
            bytes_on_disk=sum(f.bytes_on_disk for f in frames),
        )
        turns = turns_of(("user", [0, "What happens?"]), ("assistant", "Noise."))
        samples.append(sample("clips", n, modality="video", media=(media,), turns=turns))
    write_corpus(workspace, samples, [])


def notes(workspace: Workspace, count: int = 20) -> None:
    """Text alone."""
    write_corpus(
        workspace, [sample("notes", n, language="fr" if n % 5 else "en") for n in range(count)], []
    )


def mix(workspace: Workspace, spec: dict[str, Any]) -> None:
    """Count the spec's corpora and build its mixture."""
    rates = profile("nano", style="inference")
    corpora = [c["corpus"] for c in spec["components"].values()]
    ensure_counts(workspace, corpora, rates, RunOptions(quiet=True))
    whole = {"profile": {"preset": "nano", "style": "inference"}, **spec}
    build(parse_spec(whole, "spec.yaml"), workspace)


def train(workspace: Workspace) -> None:
    """Write what a run of thirty steps leaves."""
    steps = range(1, 31)
    lines = [
        {
            "step": s,
            "loss": 4 / s,
            "losses": {"modality/image": 3 / s, "modality/text": 5 / s},
            "tokens": 100,
        }
        for s in steps
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    workspace.run("first").write_bytes("metrics.jsonl", (text + '{"step": 31, "lo').encode())


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three corpora and the mixture `small` over them; read only."""
    workspace = Workspace(tmp_path_factory.mktemp("report") / "workspace")
    for write in (shots, clips, notes):
        write(workspace)
    mix(
        workspace,
        {
            "name": "small",
            "about": f"A mixture for tests. {HOSTILE}",
            "components": {n: {"corpus": n} for n in ("shots", "clips", "notes")},
            "shares": {"modality": {"text": {"min": 0.2, "max": 0.4}}},
            "caps": {"cot": 0.05, "epochs": 2},
        },
    )
    train(workspace)
    return workspace


@pytest.fixture(scope="session")
def report(shop: Workspace) -> Report:
    return build_report(shop, "small")


@pytest.fixture
def make_corpus() -> Callable[[Workspace, Sequence[Sample]], None]:
    return lambda workspace, samples: write_corpus(workspace, samples, [])


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    return sample


@pytest.fixture
def make_mixture() -> Callable[[Workspace, dict[str, Any]], None]:
    return mix


@pytest.fixture
def hostile() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; nothing is downloaded."""
    import os
    import shutil

    api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium on this machine; apt-get install chromium")
        pytest.skip("no chromium on this machine")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Visit:
    """One page, what it logged and what it asked for."""

    def __init__(self, page: Any):
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: self.faults.append(m.text))
        page.on("pageerror", lambda e: self.faults.append(str(e)))
        page.on("dialog", lambda d: self.faults.append(d.message))
        page.on("request", lambda r: self.requests.append(r.url))

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector(READY, state="attached", timeout=60_000)


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def new(width: int = 1280, height: int = 900, scheme: str = "light") -> Visit:
        size = {"width": width, "height": height}
        context = chromium.new_context(viewport=size, color_scheme=scheme, offline=True)
        contexts.append(context)
        return Visit(context.new_page())

    yield new
    for context in contexts:
        context.close()
