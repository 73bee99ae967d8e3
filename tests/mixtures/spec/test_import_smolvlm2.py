"""A smolvlm2 mixture becomes a spec with the same rows, and what is lost is said."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from smolmix.errors import UsageError
from smolmix.mixtures.spec.import_smolvlm2 import import_smolvlm2, to_yaml
from smolmix.mixtures.spec.load import parse_spec, read_spec

MIX = """
datasets:
- {name: "llava-onevision:mathqa", json_path: /x/mathqa.json, modality: text, quality: '5',
   sampling_strategy: "random:33.33%", _comment: "# 29827 samples", category: Mathematics}
- {name: "vista400k:spatial_niah_qa", json_path: "/x/a.json-avg-10seconds.json", modality: video,
   sampling_strategy: all, _comment: "# 29997 samples, 0.0% path validation failures",
   duration: short}
- {name: m4_instruct_multiimage, modality: multiimage, sampling_strategy: "first:100",
   _comment: "# 349832 samples"}
more:
- {name: mine, path: own, json_path: /x/own.jsonl, modality: image,
   sampling_strategy: "end:5%", source_fps: 2}
"""


def test_amounts_and_rules_are_kept(spec_file: Callable[..., Path]) -> None:
    found = import_smolvlm2(spec_file(MIX, "released.yaml"))
    parts = parse_spec(found.spec, "x").spec.components
    assert list(parts)[-1] == "mine"
    text = parts["llava-onevision:mathqa"]
    assert text.take is not None
    assert text.take.count(29827) == math.ceil(29827 * 33.33 / 100) == 9942
    assert (text.corpus, text.rule, text.category) == ("ov-mathqa", "random", "Mathematics")
    video = parts["vista400k:spatial_niah_qa"]
    assert (video.subset, video.declared.duration_s) == (("spatial_niah_qa",), 10.0)
    multi = parts["m4_instruct_multiimage"]
    assert multi.modality == "multi-image"
    assert multi.take is not None
    assert (multi.rule, multi.take.samples) == ("first", 100)
    assert parts["mine"].unpublished
    said = "\n".join(found.remarks)
    assert "mine: no published corpus is known" in said
    assert "mine: no count in _comment" in said
    assert "quality of 1 entries is not imported" in said
    assert "source_fps of 1 entries is not imported" in said


@pytest.mark.parametrize(
    ("strategy", "take"),
    [
        ("all", {"take": "all"}),
        ("random:100%", {"take": "all"}),
        ("first:250%", {"take": "all"}),
        ("end:12.5%", {"take": "12.5%", "rule": "end"}),
        ("random: 40", {"take": 40, "rule": "random"}),
        ("first:400", {"take": "all"}),
    ],
)
def test_no_strategy_takes_more_than_there_is(
    strategy: str, take: dict[str, object], spec_file: Callable[..., Path]
) -> None:
    entry = "{name: mine, modality: text, _comment: '# 300 samples', sampling_strategy: '%s'}"
    found = import_smolvlm2(spec_file(f"datasets: [{entry % strategy}]"))
    part = found.spec["components"]["mine"]
    assert {k: part[k] for k in ("take", "rule") if k in part} == take


def test_what_is_written_is_read_again(spec_file: Callable[..., Path], tmp_path: Path) -> None:
    found = import_smolvlm2(spec_file(MIX, "released.yaml"))
    path = tmp_path / "spec.yaml"
    path.write_text(to_yaml(found.spec))
    assert read_spec(path).spec == parse_spec(found.spec, "x").spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("datasets: 3", "is not a list of entries"),
        ("datasets: [{modality: text}]", "neither name nor json_path"),
        ("datasets: [{name: a, sampling_strategy: 'middle:3'}]", "known are all, first:N"),
        ("datasets: [{name: a, sampling_strategy: 'first:x'}]", "its amount is not a number"),
        ("datasets: [{name: a, _comment: '# 3 samples'}, {name: a}]", "is listed twice"),
    ],
)
def test_what_is_no_such_mixture_is_refused(
    text: str, said: str, spec_file: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match=said):
        import_smolvlm2(spec_file(text))
