"""Weights shared out over the ranks: FSDP2 around the packed step, for models that one GPU lacks.

Each decoder layer and each vision layer is a unit, gathered when it runs; all else (embeddings,
head, connector, norms) is the root's. Checkpoints are gathered, so that they look as those of a
single rank and any number of ranks, sharded or not, goes on from them.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from smolmix.model.train.step import PackedModel, layers


def shard(packed: PackedModel, ranks: int, device: torch.device) -> None:
    """Share a model's weights out over `ranks`, moving them to `device`.

    Every rank must then run the same layers in each step, so a sequence without tiles sends one
    blank tile through the vision tower, whose embeddings count for nothing.
    """
    mesh = init_device_mesh(device.type, (ranks,))
    for layer in layers(packed.model):
        fully_shard(layer, mesh=mesh)
    fully_shard(packed, mesh=mesh)
    packed.always_sees = True


def whole(value: Any) -> Any:
    """Return a nested value with its shards gathered, on the CPU; every rank must call it."""
    if isinstance(value, DTensor):
        return value.full_tensor().cpu()
    if isinstance(value, Mapping):
        return {k: whole(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(v) for v in value)
    return value


def whole_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return a model's weights gathered on the CPU, tied ones as one; every rank must call it."""
    gathered: dict[int, Tensor] = {}
    out = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in gathered:
            gathered[id(value)] = whole(value.detach())
        out[name] = gathered[id(value)]
    return out


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a gathered state into an optimizer, each rank keeping its shards."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    mine = {
        index: {k: _shard_like(parameters[index], v) for k, v in slots.items()}
        for index, slots in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": mine})


def _shard_like(parameter: Tensor, value: Any) -> Any:
    if not isinstance(parameter, DTensor) or not torch.is_tensor(value) or value.ndim == 0:
        return value
    here = value.to(parameter.device)
    return distribute_tensor(here, parameter.device_mesh, parameter.placements, src_data_rank=None)
