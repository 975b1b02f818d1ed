"""Runs a step, or an evaluation, through the stages of a pipeline.

Every rank reads every batch, so only hidden states travel forward and their gradients back, in
shapes that both sides know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import paddle

from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.passing import Pass
from llm_train.parallel.collectives import receive, send
from llm_train.parallel.groups import Parallel
from llm_train.parallel.schedule import Work, pipeline_schedule, transfers

Inputs = Mapping[str, paddle.Tensor]
"""`input_ids` [B, T] and, where a batch has them, `position_ids`, `attention_mask` and `prefix`."""


class Pipeline:
    """This rank's `parts` of a model, in the order of their stages; they run within `casting`."""

    def __init__(
        self,
        parts: Sequence[Decoder],
        parallel: Parallel,
        casting: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.parts, self.parallel, self._casting = parts, parallel, casting
        self.ranks = parallel.layout.pipeline
        self.rank = parallel.layout.pipeline_rank
        self._inputs: Sequence[Inputs] = ()
        self._arrived: dict[Work, paddle.Tensor] = {}
        self._kept: dict[tuple[int, int], tuple[paddle.Tensor | None, paddle.Tensor]] = {}

    def train(
        self, inputs: Sequence[Inputs], loss: Callable[[int, paddle.Tensor], paddle.Tensor]
    ) -> None:
        """Forward and backward of every micro-batch; gradients are summed in the parameters.

        `loss(micro, logits)` is asked on the last stage, once a micro-batch.
        """
        self._run(inputs, loss, forward_only=False)

    def evaluate(
        self, inputs: Sequence[Inputs], look: Callable[[int, paddle.Tensor], paddle.Tensor]
    ) -> None:
        """Forward alone; `look(micro, logits)` is called on the last stage."""
        with paddle.no_grad():
            self._run(inputs, look, forward_only=True)

    def _run(
        self,
        inputs: Sequence[Inputs],
        loss: Callable[[int, paddle.Tensor], paddle.Tensor],
        *,
        forward_only: bool,
    ) -> None:
        self._inputs = inputs
        ticks = pipeline_schedule(
            self.ranks, len(self.parts), len(inputs), forward_only=forward_only
        )
        for tick in ticks:
            piece = tick.work[self.rank]
            made = None
            if piece is not None:
                made = self._forward(piece, loss) if piece.forward else self._backward(piece)
            if forward_only:
                self._kept = {}
            for handed, outward in transfers(tick, self.ranks, self.rank):
                self._pass_on(handed, made if outward else None)

    def _forward(
        self, piece: Work, loss: Callable[[int, paddle.Tensor], paddle.Tensor]
    ) -> paddle.Tensor:
        part, inputs = self.parts[piece.stage // self.ranks], self._inputs[piece.micro]
        entered: paddle.Tensor | None = None
        with self._casting():
            if part.first:
                hidden, state = part.begin(**inputs)
            else:
                entered = hidden = self._arrived.pop(piece)
                hidden.stop_gradient = False
                state = _resumed(part, inputs)
            for block in part.blocks:
                hidden = block(hidden, state)
            if part.last:
                hidden = part.finish(hidden)
        if part.last:
            hidden = loss(piece.micro, hidden)
        self._kept[piece.stage, piece.micro] = (entered, hidden)
        return hidden.detach()

    def _backward(self, piece: Work) -> paddle.Tensor | None:
        entered, output = self._kept.pop((piece.stage, piece.micro))
        gradient = self._arrived.pop(piece, None)
        paddle.autograd.backward([output], [gradient])
        return None if entered is None else entered.grad

    def _pass_on(self, piece: Work, made: paddle.Tensor | None) -> None:
        """Hand on `made`, the result of `piece`; None: take in what another rank made."""
        step = 1 if piece.forward else -1
        group = self.parallel.pipeline
        if made is not None:
            send(made, (self.rank + step) % self.ranks, group)
            return
        shape = self._shape(piece.micro)
        tensor = receive(shape, self.parts[0].stream or "float32", piece.stage % self.ranks, group)
        self._arrived[Work(piece.stage + step, piece.micro, piece.forward)] = tensor

    def _shape(self, micro: int) -> list[int]:
        batch, tokens = self._inputs[micro]["input_ids"].shape
        hidden = self.parts[0].sizes.hidden
        if not self.parallel.layout.sequence:
            return [batch, tokens, hidden]
        return [batch * tokens // self.parallel.layout.tensor, hidden]


def _resumed(part: Decoder, inputs: Inputs) -> Pass:
    state = part.resume(**{name: value for name, value in inputs.items() if name != "prefix"})
    state.prefix = inputs.get("prefix")
    return state
