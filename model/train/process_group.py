"""The ranks that train together, and the sums they need; one process alone needs no group."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_BUCKET = 32 << 20  # numbers summed in one call


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGroup:
    """This process's place among the ranks."""

    rank: int = 0
    size: int = 1

    def sum(self, value: float) -> float:
        """Return the sum of a number over all ranks."""
        if self.size == 1:
            return value
        # NCCL sums only what lies on this rank's GPU.
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor([value], dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return float(total)

    def merge(self, sums: Mapping[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
        """Return (sum, count) by key over all ranks, keys sorted."""
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
        """Sum every gradient over all ranks, in a few large calls.

        Once a step, after its last micro-batch. DistributedDataParallel would need every tower
        to take part in every rank's last micro-batch, which text-only sequences do not.
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
