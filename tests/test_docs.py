"""What the documents show can be copied and used."""

from pathlib import Path

from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.pipelines.curate import policy
from smolmix.pipelines.sources.catalogue import read_catalogue

ROOT = Path(__file__).parents[1]


def _example(document: str) -> str:
    return (ROOT / document).read_text().split("```yaml\n")[1].split("```")[0]


def test_the_example_of_a_mixture_is_planned_without_data(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(_example("docs/mixtures.md"))
    call = ["mix", "plan", str(tmp_path / "mine.yaml"), "--workspace", str(tmp_path / "none")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.exception
    assert done.output.startswith("mine (256m, released): ")
    for wish in ("modality.text: 14.0000 %", "modality.video: 33.", "caps.cot: 0.0", "mean: 20"):
        assert wish in done.output


def test_the_example_of_a_policy_is_read() -> None:
    rules = policy.parse(_example("docs/curation.md"), "docs/curation.md")
    assert rules.dedup.same_image == "merge"


def test_the_example_of_a_catalogue_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(_example("docs/your-own-data.md"))
    (source,) = read_catalogue(str(tmp_path / "own.yaml")).values()
    assert (source.id, source.licence) == ("my-charts", "CC-BY-4.0")


def test_every_link_within_the_repository_leads_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    checked = 0
    for document in documents:
        links = [part.split(")")[0] for part in document.read_text().split("](")[1:]]
        for link in links:
            if "://" not in link and not link.startswith("#"):
                assert document.parent.joinpath(link.split("#")[0]).exists(), f"{document}: {link}"
                checked += 1
    assert checked >= 8
