"""What a sample of a prefix mask holds besides tokens and labels, up to the decoder's arguments.

`position_ids` int64 [T] are the places in the context, `block_position_ids` int64 [T] those in the
answer, `context` int64 [T] is 1 for tokens that all of their sample see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import paddle

Sample: TypeAlias = Mapping[str, np.ndarray]
Batch: TypeAlias = dict[str, np.ndarray]
BLOCK, CONTEXT = "block_position_ids", "context"
_OWN = (BLOCK, CONTEXT)


def filled(collate: Callable[[Sequence[Any]], Batch]) -> Callable[[Sequence[Sample]], Batch]:
    """`collate`, which fills every other field, for samples that hold these too; filling is 0."""
    return _Filled(collate)


class _Filled:
    """A class, since workers that read data are sent it."""

    def __init__(self, collate: Callable[[Sequence[Any]], Batch]) -> None:
        self._collate = collate

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """A batch of [B, T] arrays."""
        others = [{k: v for k, v in sample.items() if k not in _OWN} for sample in samples]
        batch = self._collate(others)
        for name in _OWN:
            batch[name] = np.zeros_like(batch["input_ids"])
            for row, sample in enumerate(samples):
                batch[name][row, : sample[name].size] = sample[name]
        return batch


def blank_inputs(
    places: paddle.Tensor,
    blocks: paddle.Tensor,
    context: paddle.Tensor,
    together: paddle.Tensor | None,
) -> dict[str, paddle.Tensor]:
    """`position_ids` [B, 2, T], `attention_mask` bool [B, 1, T, T] and `prefix` [B] of a decoder.

    All int64 [B, T]; `together` bool [B, 1, T, T]: which tokens are of one sample, None: all. The
    prefix is everything: the mask alone says what is seen. Filling on the right is seen by none.
    """
    batch, tokens = places.shape
    order = paddle.arange(tokens)
    shown = order.unsqueeze(0) <= order.unsqueeze(1)
    shown = shown | context.astype("bool").unsqueeze([1, 2])
    return {
        "position_ids": paddle.stack([places, blocks], axis=1),
        "attention_mask": shown if together is None else shown & together,
        "prefix": paddle.full([batch], tokens, dtype="int64"),
    }


def context_and_answer(
    places: np.ndarray, context: int, ids: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """A sample of `ids` and `labels` [T] whose first tokens have the positions `places` [2, S].

    The T - S tokens of the answer go on in the second position. The first `context` are seen by
    all.
    """
    following = np.arange(1, len(ids) - places.shape[1] + 1)
    last = places[:, -1:]
    answer = np.stack([np.broadcast_to(last[0], following.shape), last[1] + following])
    first, second = np.concatenate([places, answer], axis=1).astype(np.int64)
    return {
        "input_ids": ids.astype(np.int64),
        "labels": labels.astype(np.int64),
        "position_ids": first,
        BLOCK: second,
        CONTEXT: (np.arange(len(ids)) < context).astype(np.int64),
    }
