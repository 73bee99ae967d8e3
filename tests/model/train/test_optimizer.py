"""Learning rates by tower, frozen towers, parameter groups and the schedule."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smolmix.model.arch.build import build
from smolmix.model.arch.presets import tower_of
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.train.optimizer import freeze, optimizers, rate_factor, rate_of, set_rates
from smolmix.model.train.recipe import Rates, Schedule, StageSpec

RATES = Rates(vision=1e-3, connector=2e-3, lm=3e-3, embeddings=4e-3)


@pytest.fixture(scope="module")
def model() -> Any:
    return build(ModelSpec(preset="tiny"))


def stage(**fields: Any) -> StageSpec:
    base = {
        "name": "one", "mixture": "m", "sequence_tokens": 8, "sequences_per_step": 1, "steps": 1,
        "learning_rate": RATES, "weight_decay": 0.1,
    }  # fmt: skip
    return StageSpec.model_validate({**base, **fields})


def test_each_tower_has_its_rate_and_embeddings_may_have_their_own(model: Any) -> None:
    rates = {name: rate_of(name, RATES) for name, _ in model.named_parameters()}
    expected = {"vision": 1e-3, "connector": 2e-3, "lm": 3e-3}
    for name, rate in rates.items():
        table = "text_model.embed_tokens" in name
        assert rate == (4e-3 if table else expected[tower_of(name)]), name
    assert set(rates.values()) == {1e-3, 2e-3, 3e-3, 4e-3}
    without = RATES.model_copy(update={"embeddings": None})
    assert rate_of("model.text_model.embed_tokens.weight", without) == 3e-3
    assert rate_of("lm_head.weight", RATES) == 4e-3


def test_a_rate_of_0_freezes_its_tower_and_no_other() -> None:
    model = build(ModelSpec(preset="tiny"))
    freeze(model, Rates(vision=0, connector=1e-3, lm=1e-3))
    frozen = {tower_of(n) for n, p in model.named_parameters() if not p.requires_grad}
    trained = {tower_of(n) for n, p in model.named_parameters() if p.requires_grad}
    assert (frozen, trained) == ({"vision"}, {"connector", "lm"})


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_trained_parameter_is_in_one_group_with_its_rate_and_decay(
    model: Any, kind: str
) -> None:
    freeze(model, RATES)
    names = {id(p): n for n, p in model.named_parameters()}
    made = optimizers(model, stage(optimizer=kind))
    seen = []
    for one in made:
        for group in one.param_groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                assert group["peak"] == rate_of(name, RATES), name
                assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0), name
                if isinstance(one, torch.optim.Muon):
                    assert parameter.ndim == 2, name
                    assert "embed" not in name, name
                seen.append(name)
    assert sorted(seen) == sorted(names.values())
    assert [type(o).__name__ for o in made] == ["AdamW"] + ["Muon"] * (kind == "muon")


def test_frozen_parameters_are_in_no_group() -> None:
    model = build(ModelSpec(preset="tiny"))
    rates = Rates(vision=0, connector=1e-3, lm=0)
    freeze(model, rates)
    (one,) = optimizers(model, stage(learning_rate=rates))
    assert sum(len(g["params"]) for g in one.param_groups) == 1


def test_rates_in_use_are_the_peaks_times_the_factor(model: Any) -> None:
    freeze(model, RATES)
    made = optimizers(model, stage(optimizer="muon"))
    used = set_rates(made, 0.5)
    expected = {"0.001": 5e-4, "0.002": 1e-3, "0.003": 1.5e-3, "0.004": 2e-3}
    assert used == pytest.approx(expected)
    assert {g["lr"] for o in made for g in o.param_groups} == set(used.values())


def test_schedule_rises_to_the_peak_and_falls_to_the_floor() -> None:
    schedule = Schedule(kind="cosine", warmup=0.1, floor=0.05)
    factors = [rate_factor(s, 100, schedule) for s in range(100)]
    assert factors[:10] == pytest.approx([0.1 * (s + 1) for s in range(10)])
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert factors[-1] == pytest.approx(0.05)
    assert rate_factor(99, 100, Schedule(kind="linear")) == pytest.approx(0)
    assert rate_factor(99, 100, Schedule(kind="constant")) == 1


@given(
    st.sampled_from(["cosine", "linear", "constant"]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 50),
)
def test_no_step_is_above_the_peak_and_one_reaches_it_after_a_warm_up(
    kind: str, warmup: float, floor: float, steps: int
) -> None:
    schedule = Schedule.model_validate({"kind": kind, "warmup": warmup, "floor": floor})
    factors = [rate_factor(step, steps, schedule) for step in range(steps)]
    assert all(0 <= f <= 1 for f in factors)
    if warmup > 0:
        assert max(factors) == 1
