"""How much memory is free, and how many KV blocks of it an engine should take.

The choice is the memory that the asked number of full-length sequences needs, but never more than
half of what is free beside the weights, nor more than CACHE_CAP unless one sequence needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.progress import scaled
from llm_infer.errors import InferError
from llm_kernels import memory

CACHE_CAP = 4 * 10**9
"""Most bytes that are taken without being asked for with num_blocks, but for one sequence."""
FREE_SHARE = 0.5
"""Share of the free memory, after the weights, that the cache may take."""


@dataclass(frozen=True)
class CachePlan:
    """The chosen cache: blocks, bytes, and a sentence that says why."""

    num_blocks: int
    bytes: int
    reason: str
    max_positions: int = 0
    """Tokens up to which the decoder is right, where that is less than the model's; 0: not."""


def available_bytes() -> int:
    """Memory that this process may still take; CACHE_CAP where the system does not say."""
    available = memory.available()
    return CACHE_CAP if available is None else available


def plan_cache(
    *,
    free: int,
    weight_bytes: int,
    bytes_per_block: int,
    block_size: int,
    max_length: int,
    max_sequences: int,
) -> CachePlan:
    """Blocks for up to `max_sequences` sequences of `max_length` tokens, within the free memory.

    Raises InferError with the numbers when not even one block is left.
    """
    single = -(-max_length // block_size)
    wanted = max_sequences * single
    cap = max(CACHE_CAP // bytes_per_block, single)
    affordable = int((free - weight_bytes) * FREE_SHARE) // bytes_per_block
    if affordable < 1:
        message = (
            f"{_text(free)} of memory are free; the weights need {_text(weight_bytes)} and one KV "
            f"block {_text(bytes_per_block)}, which leaves no room for a cache. Free some memory, "
            "or use --quant_type weight_only_int4."
        )
        raise InferError(message)
    blocks = min(wanted, affordable, cap)
    holds = f"{min(max_sequences, blocks // single)} x {max_length:,} tokens"
    if blocks == wanted:
        reason = f"room for {holds}"
    elif blocks == affordable:
        reason = f"what {_text(free)} of free memory allow: {holds} at once"
    else:
        reason = f"the most without --num_blocks: {holds} at once"
    return CachePlan(blocks, blocks * bytes_per_block, reason)


def asked_cache(num_blocks: int, free: int, weight_bytes: int, bytes_per_block: int) -> CachePlan:
    """A cache of `num_blocks` blocks; InferError with the numbers when memory does not hold it."""
    wanted = num_blocks * bytes_per_block
    if num_blocks < 1 or weight_bytes + wanted > free:
        fits = max(0, free - weight_bytes) // bytes_per_block
        message = (
            f"num_blocks is {num_blocks}, a KV cache of {_text(wanted)}; {_text(free)} of memory "
            f"are free, of which the weights need {_text(weight_bytes)}. From 1 to {fits} blocks "
            "fit; lower --num_blocks or leave it out."
        )
        raise InferError(message)
    return CachePlan(num_blocks, wanted, "as asked for")


def _text(amount: int) -> str:
    return scaled(amount, "B")
