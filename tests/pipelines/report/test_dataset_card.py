"""The dataset card says what the lock says, in a form the hub reads."""

import yaml
from huggingface_hub import DatasetCard

from smolmix.mixtures.selection.lock import read_lock
from smolmix.pipelines.report.figures.figures import figures
from smolmix.pipelines.report.run import Report
from smolmix.workspace import Workspace


def _card(shop: Workspace) -> str:
    return shop.mixture("small").read_bytes("README.md").decode()


def test_the_header_is_the_hubs(shop: Workspace, report: Report) -> None:
    assert report.card.endswith("mixtures/small/README.md")
    header = yaml.safe_load(_card(shop).split("---")[1])
    assert header["license"] == "other"
    assert header["license_name"] == "mixed"
    assert header["size_categories"] == ["n<1K"]
    assert {"image", "text", "video", "smolmix"} <= set(header["tags"])
    assert DatasetCard(_card(shop)).data.get("pretty_name") == "smolmix small"


def test_shares_licences_and_digest_are_the_locks(shop: Workspace, report: Report) -> None:
    text, found = _card(shop), figures(shop, "small")
    assert read_lock(shop.mixture("small")).selection in text
    checked = 0
    for facet in ("modality", "corpus"):
        for row in found["shares"][facet]:
            share = 100 * row["samples"] / found["totals"]["samples_drawn"]
            assert f"| {row[facet]} | {row['samples']:,} | {share:.2f} |" in text
            checked += 1
    assert checked == 6
    part = sum(r["share"] for r in found["licences"] if r["use"] == "non-commercial")
    assert f"{100 * part:.4g} % of tokens have a licence whose name says non-commercial" in text
    assert "smolmix mix build spec.yaml" in text
    assert report.samples > 0


def test_text_from_data_is_no_markup(shop: Workspace, report: Report) -> None:
    assert "<script>" not in _card(shop)
    assert "onerror=" in _card(shop)
    assert report.pictures > 0
