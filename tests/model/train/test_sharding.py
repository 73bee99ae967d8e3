"""Gathering and loading without shards: the values stay what they are (shards: test_ranks.py)."""

from typing import Any

import torch

from smolmix.model.arch.build import build
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.train.sharding import gathered, gathered_weights, load_optimizer


def test_what_is_not_sharded_is_gathered_unchanged() -> None:
    value = {"a": [1, (torch.ones(2), "x")], "b": {"c": None}}
    found = gathered(value)
    assert found["a"][1][0] is value["a"][1][0]  # type: ignore[index]  # not None here
    assert (found["a"][0], found["b"]) == (1, {"c": None})
    assert isinstance(found["a"][1], tuple)


def test_tied_weights_are_gathered_once() -> None:
    model: Any = build(ModelSpec(preset="tiny"))
    found = gathered_weights(model)
    assert found.keys() == model.state_dict().keys()
    assert found["lm_head.weight"] is found["model.text_model.embed_tokens.weight"]


def test_an_optimizer_continues_from_its_gathered_state() -> None:
    results = []
    for resumed in (False, True):
        parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        one = torch.optim.AdamW([parameter], lr=0.1)
        for step in range(4):
            if resumed and step == 2:
                state = gathered(one.state_dict())
                one = torch.optim.AdamW([parameter], lr=0.9)
                load_optimizer(one, state)
            parameter.grad = parameter.detach() * (step + 1)
            one.step()
        results.append(parameter.tolist())
    assert results[0] == results[1] != [1.0, 2.0]
