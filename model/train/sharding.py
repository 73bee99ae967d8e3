"""Weights shared by the ranks: FSDP2 around the packed step, for models too large for one GPU.

Each decoder layer and each vision layer is a unit that is gathered when it runs; everything else
(embeddings, head, connector, norms) belongs to the root unit. Checkpoints are gathered, so they
equal those of a single rank, and any number of ranks, sharded or not, resumes from them.
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
    """Divide a model's weights among `ranks`, and move them to `device`.

    Every rank must then run the same layers in each step, so a sequence without tiles sends one
    blank tile through the vision tower; its embeddings are multiplied by 0.
    """
    mesh = init_device_mesh(device.type, (ranks,))
    for layer in layers(packed.model):
        fully_shard(layer, mesh=mesh)
    fully_shard(packed, mesh=mesh)
    packed.always_run_tower = True


def gathered(value: Any) -> Any:
    """Return a nested value with its shards gathered on the CPU; every rank must call it."""
    if isinstance(value, DTensor):
        return value.full_tensor().cpu()
    if isinstance(value, Mapping):
        return {k: gathered(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(gathered(v) for v in value)
    return value


def gathered_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return a model's weights gathered on the CPU, tied ones once; every rank must call it."""
    by_identity: dict[int, Tensor] = {}
    out = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in by_identity:
            by_identity[id(value)] = gathered(value.detach())
        out[name] = by_identity[id(value)]
    return out


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a gathered state into an optimizer, each rank keeping its own shards."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    local = {
        index: {k: _shard_like(parameters[index], v) for k, v in slots.items()}
        for index, slots in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": local})


def _shard_like(parameter: Tensor, value: Any) -> Any:
    if not isinstance(parameter, DTensor) or not torch.is_tensor(value) or value.ndim == 0:
        return value
    here = value.to(parameter.device)
    return distribute_tensor(here, parameter.device_mesh, parameter.placements, src_data_rank=None)
