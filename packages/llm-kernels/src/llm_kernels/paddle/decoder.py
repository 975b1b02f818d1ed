"""The whole model in Paddle, built from a family's spec and a checkpoint's sizes.

`Decoder(spec, sizes)` has exactly the parameters of `llm_kernels.families.parameters`, under the
same names, linear weights [in, out]. It knows nothing of files, losses or tokenizers. Families are
axes of the spec, never names. Run it whole, or block by block:

    hidden, state = decoder.begin(input_ids)
    for block in decoder.blocks:
        hidden = block(hidden, state)
    logits = decoder.finish(hidden)
"""

from __future__ import annotations

import math

import paddle
from paddle import nn

from llm_kernels.errors import ShapeError
from llm_kernels.families import Alibi, FamilySpec, Learned, Rope, Sizes
from llm_kernels.paddle.attention import soft_cap
from llm_kernels.paddle.block import Block, make_norm
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.layers import DENSE, Layers
from llm_kernels.paddle.masks import alibi_bias
from llm_kernels.paddle.passing import Pass, logn_scale
from llm_kernels.paddle.positions import RotaryTables
from llm_kernels.reference import alibi_slopes, check_stretch


class Decoder(nn.Layer):
    """A decoder-only language model, float32 unless Paddle's default dtype says otherwise.

    `layers` supplies the linear and embedding classes (see `llm_kernels.paddle.layers`). `blocks`:
    only those, with the embedding where they include the first and the head where they include the
    last; such a part has no `forward` (see `llm_kernels.paddle.decoder.Decoder.resume`).

    Attribute `stream`: the dtype of hidden states between blocks; None: the parameters'. Another
    one is for use within `paddle.amp.auto_cast`. `flash`: the 16-bit dtype of attention by
    `llm_kernels.paddle.flash`, in passes without a mask, a prefix or a cache; None: attention is
    not by it. Set it only where `can_flash` says so.
    """

    def __init__(
        self,
        spec: FamilySpec,
        sizes: Sizes,
        layers: Layers = DENSE,
        blocks: range | None = None,
    ) -> None:
        super().__init__()
        self.spec, self.sizes, self.parallel = spec, sizes, layers
        self.stream: str | None = None
        self.flash: str | None = None
        self.heads, self.groups = layers.heads(sizes), layers.groups(sizes)
        held = range(sizes.layers) if blocks is None else blocks
        self.first, self.last = held.start == 0, held.stop == sizes.layers
        self._add_positions()
        if self.first:
            self._add_beginning()
        elif self.last and sizes.tied:
            self.embed = layers.embedding(sizes.vocab, sizes.embed_dim)
        self.layers = nn.LayerList()
        for index in held:
            self.layers.add_sublayer(str(index), Block(spec, sizes, index, layers))
        if self.last:
            self._add_end()

    @property
    def blocks(self) -> nn.LayerList:
        """The blocks in order; each maps (hidden [B, T, E], pass) to hidden [B, T, E]."""
        return self.layers

    def forward(
        self,
        input_ids: paddle.Tensor,
        position_ids: paddle.Tensor | None = None,
        attention_mask: paddle.Tensor | None = None,
        cache: KeyValueCache | None = None,
        prefix: paddle.Tensor | None = None,
        segment_ends: paddle.Tensor | None = None,
    ) -> paddle.Tensor:
        """Logits float [B, T, V] of int64 `input_ids` [B, T].

        `position_ids`: int64 [B, T], or [B, 2, T] for two channels; absent: counted from the mask,
        or from 0. `attention_mask`: 1 where a token is real, [B, S], or bool [B, 1, T, S], True
        where a query sees a key (it is narrowed by causality). `cache` is extended by these tokens.
        `prefix` int64 [B]: how many first tokens see each other both ways. `segment_ends` int
        [B, T]: where the sample of each token ends in its row; for `flash`, in place of a mask.
        """
        hidden, state = self.begin(
            input_ids, position_ids, attention_mask, cache, prefix, segment_ends
        )
        for block in self.layers:
            hidden = block(hidden, state)
        return self.finish(hidden)

    def begin(
        self,
        input_ids: paddle.Tensor,
        position_ids: paddle.Tensor | None = None,
        attention_mask: paddle.Tensor | None = None,
        cache: KeyValueCache | None = None,
        prefix: paddle.Tensor | None = None,
        segment_ends: paddle.Tensor | None = None,
    ) -> tuple[paddle.Tensor, Pass]:
        """Embedded tokens [B, T, E] and what the blocks need besides; arguments as `forward`."""
        positions, state = self._prepare(
            input_ids, position_ids, attention_mask, cache, prefix, segment_ends
        )
        hidden = self._embed(input_ids, positions)
        return hidden if self.stream is None else hidden.astype(self.stream), state

    def resume(
        self,
        input_ids: paddle.Tensor,
        position_ids: paddle.Tensor | None = None,
        attention_mask: paddle.Tensor | None = None,
        segment_ends: paddle.Tensor | None = None,
    ) -> Pass:
        """What the blocks of a part need besides the hidden states, which come from elsewhere."""
        return self._prepare(input_ids, position_ids, attention_mask, None, None, segment_ends)[1]

    def _prepare(
        self,
        input_ids: paddle.Tensor,
        position_ids: paddle.Tensor | None,
        attention_mask: paddle.Tensor | None,
        cache: KeyValueCache | None,
        prefix: paddle.Tensor | None,
        segment_ends: paddle.Tensor | None,
    ) -> tuple[paddle.Tensor, Pass]:
        batch, tokens = input_ids.shape
        held = cache.length if cache is not None else 0
        seen = tokens + held
        check_stretch(self.sizes, held, seen)
        positions = self._positions(input_ids, position_ids, attention_mask, seen)
        if positions.shape[1] < self._channels:
            message = (
                f"position_ids are missing or of shape {list(positions.shape)}: {self.spec.name} "
                f"needs [B, 2, T]. Make them with llm_kernels.families.prefix_positions."
            )
            raise ShapeError(message)
        plain = cache is None and prefix is None and attention_mask is None
        flash = self.flash if plain else None
        if segment_ends is not None and flash is None:
            message = (
                "segment_ends are for attention by FlashMask, which is not on or not possible in "
                "this pass. Give an attention_mask that keeps the samples apart."
            )
            raise ShapeError(message)
        state = Pass(
            self.sizes, batch, tokens, seen,
            self.heads, self.groups,
            padding=None if attention_mask is None else attention_mask.astype("bool"),
            prefix=prefix, cache=cache,
            flash=flash, ends=segment_ends,
        )  # fmt: skip
        if isinstance(self.spec.position, Alibi):
            state.alibi = alibi_bias(
                self.spec.position, self._slopes, seen, self.sizes.scale, state.padding
            )
        self._rotate(state, positions)
        return positions, state

    def finish(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """Logits [B, T, V] of the last block's output [B, T, E].

        Ranks that share the vocabulary get their own part of V, and ranks that share the tokens of
        the residual get [B * T, V].
        """
        logits = self._head(hidden)
        return soft_cap(logits, self.sizes.logit_cap) if self.sizes.logit_cap else logits

    def _head(self, hidden: paddle.Tensor) -> paddle.Tensor:
        if self.spec.norm.final:
            hidden = self.final_norm(hidden)
        if self.sizes.projected:
            hidden = self.project_out(hidden)
        hidden = self.parallel.gather(hidden)
        if not self.sizes.tied and not self.spec.head.normalized:
            return self.head(hidden)
        if self.sizes.tied:
            return paddle.matmul(hidden, _rows(self.embed.weight, self.spec), transpose_y=True)
        return paddle.matmul(hidden, _rows(self.head.weight.T, self.spec), transpose_y=True)

    def _add_positions(self) -> None:
        rule, sizes = self.spec.position, self.sizes
        self._tables = RotaryTables(rule, sizes) if isinstance(rule, Rope) else None
        two = isinstance(rule, Learned) and rule.block
        self._channels = rule.channels if isinstance(rule, Rope) else 1 + two
        own = slice(self.parallel.rank * self.heads, (self.parallel.rank + 1) * self.heads)
        self._slopes = (
            paddle.to_tensor(alibi_slopes(sizes.heads)[own]) if isinstance(rule, Alibi) else None
        )

    def _add_beginning(self) -> None:
        spec, sizes, rule = self.spec, self.sizes, self.spec.position
        self.embed = self.parallel.embedding(sizes.vocab, sizes.embed_dim)
        if isinstance(rule, Learned):
            rows = sizes.max_positions + rule.offset + rule.block
            self.positions = nn.Embedding(rows, sizes.hidden)
            if rule.block:
                self.block_positions = nn.Embedding(rows, sizes.hidden)
        if sizes.projected:
            self.project_in = self.parallel.replicated(sizes.embed_dim, sizes.hidden, False)
        if spec.norm.embedding:
            self.embed_norm = make_norm(spec, sizes.hidden, sizes.eps)

    def _add_end(self) -> None:
        spec, sizes, layers = self.spec, self.sizes, self.parallel
        if spec.norm.final:
            self.final_norm = make_norm(spec, sizes.hidden, sizes.eps)
        if sizes.projected:
            self.project_out = layers.replicated(sizes.hidden, sizes.embed_dim, False)
        if not sizes.tied:
            self.head = (layers.head or layers.column)(sizes.embed_dim, sizes.vocab, False)

    def _positions(
        self,
        input_ids: paddle.Tensor,
        position_ids: paddle.Tensor | None,
        mask: paddle.Tensor | None,
        seen: int,
    ) -> paddle.Tensor:
        """int64 [B or 1, C, T]: given, counted over the real tokens of a mask, or from 0."""
        tokens = input_ids.shape[1]
        if position_ids is not None:
            return position_ids if position_ids.ndim == 3 else position_ids.unsqueeze(1)
        if mask is not None and mask.ndim == 2:
            counted = paddle.clip(paddle.cumsum(mask.astype("int64"), axis=-1) - 1, min=0)
            return counted[:, seen - tokens :].unsqueeze(1)
        return paddle.arange(seen - tokens, seen).reshape([1, 1, tokens])

    def _rotate(self, state: Pass, positions: paddle.Tensor) -> None:
        rule, context = self.spec.position, state.seen
        if isinstance(rule, Rope) and self._tables is not None:
            if rule.dynamic_ntk and state.cache is not None and state.cache.prompt:
                # Qwen-1 keeps the frequencies that the prompt's length chose.
                context = state.cache.prompt
            state.cos, state.sin = self._tables.rows(positions, context)
            state.swap = self._tables.swap
        trained = self.sizes.max_positions
        if self.spec.attention.logn and state.seen > trained:
            state.query_scale = logn_scale(positions[:, 0], trained)

    def _embed(self, input_ids: paddle.Tensor, positions: paddle.Tensor) -> paddle.Tensor:
        hidden = self.embed(input_ids)
        if self.spec.scaled_embedding:
            hidden = hidden * math.sqrt(self.sizes.embed_dim)
        if self.sizes.projected:
            hidden = self.project_in(hidden)
        if isinstance(self.spec.position, Learned):
            hidden = hidden + self.positions(positions[:, 0] + self.spec.position.offset)
            if self.spec.position.block:
                hidden = hidden + self.block_positions(positions[:, 1])
        if self.spec.norm.embedding:
            hidden = self.embed_norm(hidden)
        return self.parallel.scatter(hidden)


def _rows(weight: paddle.Tensor, spec: FamilySpec) -> paddle.Tensor:
    """A head's rows [V, E], of length one where the family normalises them."""
    if not spec.head.normalized:
        return weight
    return weight / paddle.linalg.norm(weight, axis=-1, keepdim=True)
