"""The released mixes as specs: planned without data, their estimates those of the release."""

from pathlib import Path

import pytest

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.candidates.declared_sizes import read_counts
from smolmix.mixtures.plan import show
from smolmix.mixtures.plan.plan import Plan, make_plan
from smolmix.mixtures.spec.catalogue import CatalogueRow
from smolmix.mixtures.spec.load import parse_spec, read_spec
from smolmix.pipelines.corpora import SOURCES

CATALOGUE = {
    s.id: CatalogueRow(
        id=s.id,
        modality=s.modality,
        role=s.role,
        licence=s.licence,
        rows=s.rows,
        subsets={x.name: x.rows for x in s.subsets},
    )
    for s in SOURCES.values()
}
SHIPPED = sorted(p.stem for p in Path(show.__file__).parents[1].glob("*.yaml"))


def plan(name: str) -> Plan:
    return make_plan(read_spec(name), workspace=None, catalogue=CATALOGUE)


def test_the_released_mixes_have_the_releases_figures() -> None:
    large, small = plan("smolvlm2-2.2b"), plan("smolvlm2-256m")
    assert large.samples.value == 3_353_849
    assert small.samples.value == 3_027_050
    assert len(large.lines) == 110
    assert len(small.lines) == 107
    shares = {k: round(100 * a, 2) for k, (a, _) in large.modality.items()}
    assert shares == {"image": 34.31, "multi-image": 12.35, "text": 20.26, "video": 33.08}
    shares = {k: round(100 * a, 2) for k, (a, _) in small.modality.items()}
    assert shares == {"image": 33.83, "multi-image": 11.56, "text": 21.49, "video": 33.12}
    assert large.mean_video_s.value is not None
    assert large.mean_video_s.value < 1.7 * 60


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_mixture_is_planned_without_data(name: str) -> None:
    found = plan(name)
    assert found.samples.value
    known = {line.corpus for line in found.lines} - set(CATALOGUE)
    assert known <= {x.corpus for x in found.lines if x.component in found.unpublished}
    for line in found.lines:
        subsets = read_spec(name).spec.components[line.component].subset
        listed = CATALOGUE[line.corpus].subsets if line.corpus in CATALOGUE else {}
        assert not listed or set(subsets) <= set(listed), line.component
    screen = show.screen(found)
    assert len(screen) <= 50
    assert all(estimate.known != "measured" for estimate in (found.samples, found.tokens))


def test_by_the_paper_says_what_runs_out() -> None:
    found = plan("smolvlm2-by-the-paper")
    assert {k: round(100 * a, 1) for k, (a, _) in found.modality.items() if k != "image"} == {
        "multi-image": pytest.approx(13.8, abs=0.3),
        "text": 14.0,
        "video": 33.0,
    }
    assert found.mean_video_s.value == pytest.approx(210, abs=5)
    assert 0.0002 <= (found.cot["declared"].value or 0) <= 0.0005
    assert 300_000 < (found.samples.value or 0) < 500_000
    assert "caps.duration_s.mean" in found.binding
    assert list(found.shadow_prices)[:2] == ["moviechat:descriptions", "finevideoqa"]
    text = "\n".join(show.screen(found))
    assert "the longest come from: moviechat:descriptions 795" in text


def test_the_published_clips_alone_allow_tens_of_thousands(tmp_path: Path) -> None:
    path = tmp_path / "clips.yaml"
    path.write_text(
        "name: clips\nextends: smolvlm2-by-the-paper\ncomponents: {finevideoqa: {take: 685}}\n"
    )
    found = make_plan(read_spec(path), workspace=None, catalogue=CATALOGUE)
    assert 10_000 < (found.samples.value or 0) < 40_000


def test_an_infeasible_spec_shows_both_ways_out(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("name: big\nextends: smolvlm2-by-the-paper\ntotal: 3353849\n")
    with pytest.raises(InfeasibleError) as caught:
        make_plan(read_spec(path), workspace=None, catalogue=CATALOGUE)
    text = str(caught.value)
    assert "caps.duration_s.mean = 210 ± 5 s; total = 3,353,849 samples" in text
    assert "nearest: total 3" in text
    assert "nearest, with the same total:" in text
    assert "caps.duration_s.mean = 210 ± 5 s becomes" in text


def test_unknown_corpora_and_benchmarks_are_refused() -> None:
    spec = {"name": "a", "components": {"x": {"corpus": "easy-vq"}, "y": {"corpus": "mmmu"}}}
    with pytest.raises(UsageError) as caught:
        make_plan(parse_spec(spec, "f.yaml"), workspace=None, catalogue=CATALOGUE)
    first, second = str(caught.value).splitlines()
    assert "components.x.corpus is 'easy-vq'; no such corpus; " in first
    assert first.endswith("did you mean 'easy-vqa'?")
    assert "components.y.corpus is 'mmmu'; a benchmark is never trained on" in second


def test_counts_come_from_a_csv(tmp_path: Path) -> None:
    table = tmp_path / "counts.csv"
    table.write_text("component,samples,text_tokens,remark\nx,1000,50,hello\n")
    spec = {"name": "a", "components": {"x": {"corpus": "stdlib-text"}}}
    found = make_plan(
        parse_spec(spec, "f.yaml"),
        workspace=None,
        catalogue=CATALOGUE,
        counts=read_counts(table),
    )
    assert (found.samples.value, found.samples.known) == (1000, "declared")
    assert (found.tokens.value, found.tokens.known) == (50_000, "declared")


def test_figures_say_how_they_are_known() -> None:
    found = plan("context-extension")
    by = {line.component: line for line in found.lines}
    assert by["maths"].available.known == "declared"
    assert by["books"].available.known == "unknown"
    assert found.download_bytes.known == "unknown"


def test_the_demos_cap_on_chain_of_thought_binds() -> None:
    found = plan("demo")
    share, total = found.cot["declared"].value, found.samples.value
    assert share is not None
    assert total is not None
    assert share <= 0.0005 < share + 1 / total
    assert share * total < 100  # of the 1,000 that are there
