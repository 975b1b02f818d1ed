"""What processes tell each other. `group` None is a group of this process alone.

Every member of a group calls the same function in the same order. Sums are the same bits on all
members, since each element is added up in one place and then handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import paddle
import paddle.distributed as dist

_BUCKET = 1 << 23
"""Elements of a tensor into which small ones are put together for one sum."""


def all_reduce(tensor: paddle.Tensor, group: Any, op: Any = None) -> paddle.Tensor:
    """The sum over the group, or what `op` says, written into `tensor` itself."""
    if group is not None:
        dist.all_reduce(tensor, op=dist.ReduceOp.SUM if op is None else op, group=group)
    return tensor


def all_gather(tensor: paddle.Tensor, group: Any, axis: int = 0) -> paddle.Tensor:
    """The tensors of all members, of one shape, put together along `axis` in rank order."""
    if group is None:
        return tensor
    parts: list[paddle.Tensor] = []
    dist.all_gather(parts, tensor.contiguous(), group=group)
    return paddle.concat(parts, axis=axis)


def reduce_scatter(tensor: paddle.Tensor, group: Any) -> paddle.Tensor:
    """This member's rows of the sum of [n * R, ...] over the n members, [R, ...]."""
    if group is None:
        return tensor
    rows = tensor.shape[0] // group.nranks
    if tensor.place.is_cpu_place():
        # gloo has no reduce-scatter.
        whole = all_reduce(tensor.clone(), group)
        return whole[group.rank * rows : (group.rank + 1) * rows].clone()
    own = paddle.empty([rows, *tensor.shape[1:]], dtype=tensor.dtype)
    dist.reduce_scatter(own, list(paddle.split(tensor, group.nranks)), group=group)
    return own


def broadcast(tensor: paddle.Tensor, source: int, group: Any) -> paddle.Tensor:
    """What member `source` (its place in the group) holds, written into `tensor` itself."""
    if group is not None:
        dist.broadcast(tensor, src=group.ranks[source], group=group)
    return tensor


def send(tensor: paddle.Tensor, member: int, group: Any) -> None:
    """Hand a tensor to a member of the group, which receives it."""
    dist.send(tensor.contiguous(), dst=group.ranks[member], group=group)


def receive(shape: Sequence[int], dtype: Any, member: int, group: Any) -> paddle.Tensor:
    """The tensor of that shape that a member of the group sends."""
    tensor = paddle.empty(list(shape), dtype=dtype)
    dist.recv(tensor, src=group.ranks[member], group=group)
    return tensor


def sum_gradients(parameters: Iterable[Any], group: Any) -> None:
    """Add up the gradients of the parameters over the group, many in one go.

    A parameter without one counts as zeros: the other members may have one.
    """
    if group is None:
        return
    bucket: list[Any] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = paddle.zeros_like(parameter)
        bucket.append(parameter)
        if sum(int(held.size) for held in bucket) >= _BUCKET:
            _sum_bucket(bucket, group)
            bucket = []
    if bucket:
        _sum_bucket(bucket, group)


def _sum_bucket(parameters: Sequence[Any], group: Any) -> None:
    flat = paddle.concat([parameter.grad.reshape([-1]) for parameter in parameters])
    all_reduce(flat, group)
    sizes = [int(parameter.size) for parameter in parameters]
    for parameter, part in zip(parameters, paddle.split(flat, sizes), strict=True):
        parameter.grad.set_value(part.reshape(parameter.shape))


def total(value: float, *groups: Any) -> float:
    """The sum of a number over the members of each group in turn, in double precision."""
    if all(group is None for group in groups):
        return value
    tensor = paddle.to_tensor([value], dtype="float64")
    for group in groups:
        all_reduce(tensor, group)
    return float(tensor.item())


def shared_object(value: Any, parallel: Any) -> Any:
    """What the leading process gives as `value`, on every process."""
    if parallel is None:
        return value
    wait_for_all(parallel)
    held = [value]
    dist.broadcast_object_list(held, src=0)
    return held[0]


def gathered_objects(value: Any) -> list[Any]:
    """What every process of the run gives as `value`, in rank order."""
    held: list[Any] = []
    dist.all_gather_object(held, value)
    return held


def wait_for_all(parallel: Any) -> None:
    """Go on when every process of the run has come here, however long one of them takes.

    gloo gives up after half a minute; so on CPUs processes meet in the store.
    """
    if parallel is None:
        return
    if paddle.get_device() == "cpu":
        from llm_train.parallel.gloo import meet

        meet(parallel.layout.processes)
    else:
        dist.barrier()
