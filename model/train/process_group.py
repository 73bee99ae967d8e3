"""The ranks that train together, and the sums over them that training needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_BUCKET = 32 << 20  # numbers summed in one call


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """This process among the ranks; of size 1 by default, which needs no torch.distributed."""

    rank: int = 0  # from 0
    size: int = 1  # number of ranks

    def sum(self, value: float) -> float:
        """Return the sum of a number over all ranks."""
        if self.size == 1:
            return value
        # NCCL sums only tensors on this rank's GPU.
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor([value], dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return float(total)

    def merge(self, sums: Mapping[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
        """Return (sum, count) by key over all ranks, sorted by key."""
        gathered: list[Any] = [sums]
        if self.size > 1:
            gathered = [None] * self.size
            dist.all_gather_object(gathered, dict(sums))
        total: dict[str, tuple[float, int]] = {}
        for one in gathered:
            for key, (value, count) in one.items():
                before = total.get(key, (0.0, 0))
                total[key] = (before[0] + value, before[1] + count)
        return dict(sorted(total.items()))

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum every gradient over all ranks in place, in a few large calls.

        Called once a step, after its last micro-batch. DistributedDataParallel would need every
        tower to take part in every rank's last micro-batch, but text-only sequences do not use the
        vision tower.
        """
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        for parameter in parameters:
            assert parameter.grad is not None
            bucket.append(parameter.grad)
            if sum(g.numel() for g in bucket) >= _BUCKET:
                _sum_bucket(bucket)
                bucket = []
        if bucket:
            _sum_bucket(bucket)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()


def _sum_bucket(gradients: list[Tensor]) -> None:
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    offset = 0
    for gradient in gradients:
        size = gradient.numel()
        gradient.copy_(flat[offset : offset + size].view_as(gradient))
        offset += size
