"""Sums over ranks: alone, and over gloo on this machine."""

import torch
from tests.support.ranks import on_ranks

from smolmix.model.train.process_group import ProcessGroup


def test_alone_every_sum_is_the_value_itself() -> None:
    group = ProcessGroup()
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    group.sum_gradients([parameter])
    group.barrier()
    assert (group.rank, group.size, group.sum(2.5)) == (0, 1, 2.5)
    assert parameter.grad.tolist() == [1.0, 2.0, 3.0]
    assert group.merge({"b": (1.0, 2), "a": (3.0, 4)}) == {"a": (3.0, 4), "b": (1.0, 2)}


def sums(group: ProcessGroup) -> dict[str, object]:
    """What one rank sees: run in a process of its own."""
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (4, 3)]
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.full((parameter.shape[0],), 10.0**number * (group.rank + 1))
    group.sum_gradients(parameters)
    group.barrier()
    return {
        "sum": group.sum(group.rank + 0.5),
        "merged": group.merge({"all": (1.5, 2), f"rank-{group.rank}": (1.0, 1)}),
        "gradients": [p.grad.tolist() for p in parameters if p.grad is not None],
    }


def test_every_rank_sees_the_sums_over_all() -> None:
    found = on_ranks(sums, 2)
    assert found[0] == found[1]
    assert found[0]["sum"] == 2.0
    merged = {"all": (3.0, 4), "rank-0": (1.0, 1), "rank-1": (1.0, 1)}
    assert found[0]["merged"] == merged
    assert found[0]["gradients"] == [[3.0] * 4, [30.0] * 3]
