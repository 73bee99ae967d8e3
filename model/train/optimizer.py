"""Optimizers with a learning rate for each tower, their schedule, and the freezing of towers."""

import math
from collections.abc import Sequence

import torch

from smolmix.model.arch.presets import tower_of
from smolmix.model.train.recipe import Rates, Schedule, StageSpec


def rate_of(name: str, rates: Rates) -> float:
    """Return the peak learning rate of a parameter by its name."""
    tower = tower_of(name)
    if tower == "vision":
        return rates.vision
    if tower == "connector":
        return rates.connector
    if rates.embeddings is not None and ("embed_tokens" in name or "lm_head" in name):
        return rates.embeddings
    return rates.lm


def freeze(model: torch.nn.Module, rates: Rates) -> None:
    """Turn off the gradients of parameters whose rate is 0, so that their backward is skipped."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(rate_of(name, rates) > 0)


def optimizers(model: torch.nn.Module, stage: StageSpec) -> list[torch.optim.Optimizer]:
    """Return the stage's optimizers, with a parameter group for each peak rate and decay.

    Vectors, norms and biases are not decayed. With `optimizer: muon`, Muon takes the matrices
    inside the towers, its updates scaled to the size of AdamW's so that rates mean the same;
    embeddings, head, convolution and vectors stay with AdamW.

    Source: smollm/vision's trainer has the same groups, vision / connector / rest × decay.
    """
    groups: dict[tuple[bool, float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = stage.weight_decay if parameter.ndim > 1 else 0.0
            key = (_uses_muon(name, parameter, stage), rate_of(name, stage.learning_rate), decay)
            groups.setdefault(key, []).append(parameter)
    found: list[torch.optim.Optimizer] = []
    for muon in (False, True):
        parts = [
            {"params": p, "lr": 0.0, "peak": rate, "weight_decay": decay}
            for (kind, rate, decay), p in sorted(groups.items(), key=lambda g: g[0])
            if kind == muon
        ]
        if parts and muon:
            found.append(torch.optim.Muon(parts, adjust_lr_fn="match_rms_adamw"))
        elif parts:
            found.append(torch.optim.AdamW(parts, betas=stage.betas, fused=True))
    return found


def _uses_muon(name: str, parameter: torch.nn.Parameter, stage: StageSpec) -> bool:
    table = "embed" in name or "lm_head" in name
    return stage.optimizer == "muon" and parameter.ndim == 2 and not table


def rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """Return the factor of the peak learning rate at `step` (from 0) of `steps`, from 0 to 1."""
    warmup = math.ceil(schedule.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.kind == "constant":
        return 1.0
    done = (step - warmup + 1) / max(1, steps - warmup)
    shape = 1 - done if schedule.kind == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return schedule.floor + (1 - schedule.floor) * shape


def set_rates(optimizers: Sequence[torch.optim.Optimizer], factor: float) -> dict[str, float]:
    """Set each group's rate to its peak × `factor`; return the rates now in use, by peak."""
    used = {}
    for group in (g for o in optimizers for g in o.param_groups):
        used[f"{group['peak']:g}"] = group["lr"] = group["peak"] * factor
    return used
