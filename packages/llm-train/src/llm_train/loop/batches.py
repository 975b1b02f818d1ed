"""From samples to what the model is called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import paddle

from llm_train.blanks.fields import BLOCK, CONTEXT, blank_inputs
from llm_train.errors import BatchError
from llm_train.loop.data import Batch, Samples
from llm_train.loop.loss import trained_tokens
from llm_train.loop.order import SampleOrder
from llm_train.parallel.collectives import total
from llm_train.parallel.groups import Parallel


def cut(
    collate: Callable[[Sequence[Any]], Batch], size: int
) -> Callable[[Sequence[Any]], list[Batch]]:
    """A collate function for the samples of one step: micro-batches of at most `size` samples."""

    def collate_step(samples: Sequence[Any]) -> list[Batch]:
        return [collate(samples[first : first + size]) for first in range(0, len(samples), size)]

    return collate_step


class StepLoader:
    """The steps of a run, read in this process.

    Paddle's own loader reads in a thread even without workers, and an error of the data then ends
    as "blocking queue is killed" instead of what it says.
    """

    def __init__(
        self,
        samples: Samples,
        order: SampleOrder,
        collate: Callable[[Sequence[Any]], list[Batch]],
    ) -> None:
        self._samples, self._order, self._collate = samples, order, collate

    def __iter__(self) -> Iterator[list[Batch]]:
        """The micro-batches of each step."""
        return (self._collate([self._samples[i] for i in step]) for step in self._order)

    def __len__(self) -> int:
        """All steps of the run, those that a resumed run leaves out included."""
        return len(self._order)


def model_inputs(batch: Mapping[str, Any], *, flash: bool = False) -> dict[str, paddle.Tensor]:
    """The tensors that the model takes of a batch.

    Filling stands on the right, where causality hides it, so `attention_mask` is not passed on;
    `segment_ids` of packed samples become a mask that keeps them apart. Samples with a `context`
    have a second position and a mask that is not causal there (see `llm_train.blanks`). `flash`:
    the model's attention is by FlashMask, which takes the ends of samples in place of a mask.
    """
    inputs = {
        name: as_tensor(batch[name]) for name in ("input_ids", "position_ids") if name in batch
    }
    if "segment_ids" in batch and flash:
        inputs["segment_ends"] = as_tensor(segment_ends(np.asarray(batch["segment_ids"])))
    elif "segment_ids" in batch:
        segments = as_tensor(batch["segment_ids"])
        inputs["attention_mask"] = segments.unsqueeze([1, 3]) == segments.unsqueeze([1, 2])
    if CONTEXT in batch:
        block, context = as_tensor(batch[BLOCK]), as_tensor(batch[CONTEXT])
        together = inputs.get("attention_mask")
        inputs |= blank_inputs(inputs["position_ids"], block, context, together)
    return inputs


def segment_ends(segments: np.ndarray) -> np.ndarray:
    """Behind the last token of each token's sample in its row, int32 [B, T]; of ids [B, T].

    A sample's tokens stand together.
    """
    tokens = segments.shape[1]
    last = np.ones(segments.shape, dtype=bool)
    last[:, :-1] = segments[:, 1:] != segments[:, :-1]
    ends = np.where(last, np.arange(1, tokens + 1), tokens)
    found: np.ndarray = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1].astype(np.int32)
    return found


def as_tensor(array: Any) -> paddle.Tensor:
    """An array as a tensor; the data loader's tensors as they are."""
    return array if isinstance(array, paddle.Tensor) else paddle.to_tensor(array)


def real_tokens(batch: Mapping[str, Any]) -> int:
    """How many tokens of a batch are not filling."""
    if "attention_mask" in batch:
        return int(np.asarray(batch["attention_mask"]).sum())
    return int(np.prod(batch["input_ids"].shape))


def count_trained(
    batches: Sequence[Mapping[str, Any]], step: int, parallel: Parallel | None = None
) -> int:
    """How many labels of a step count, on all replicas. Raises BatchError when none does."""
    count = sum(trained_tokens(np.asarray(batch["labels"])) for batch in batches)
    rows = sum(batch["labels"].shape[0] for batch in batches)
    if parallel is not None:
        count = int(total(count, parallel.sharding, parallel.data))
        rows *= parallel.layout.replicas
    if count == 0:
        message = (
            f"Step {step}: none of the tokens of its {rows} samples has a label (all are -100), so "
            "there is nothing to learn. Answers were probably cut off: raise --max_length, or "
            "look at the samples with `llm data check`."
        )
        raise BatchError(message)
    return count
