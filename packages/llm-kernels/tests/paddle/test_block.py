"""One block by itself: the residual as the spec arranges it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle

from llm_kernels.paddle.block import Block, make_norm
from llm_kernels.paddle.layers import DENSE
from llm_kernels.paddle.norms import LayerNorm, RmsNorm
from llm_kernels.paddle.passing import Pass


def silent(block: Block) -> Block:
    """A block whose attention and MLP answer zero."""
    for layer in (block.out, block.down):
        for parameter in layer.parameters():
            parameter.set_value(np.zeros(parameter.shape, np.float32))
    return block


def outcome(model: Any) -> tuple[np.ndarray, np.ndarray, Block]:
    block = silent(Block(model.spec, model.sizes, 0, DENSE))
    hidden = paddle.randn([1, 3, model.sizes.hidden])
    state = Pass(model.sizes, 1, 3, 3, model.sizes.heads, model.sizes.kv_heads)
    return hidden.numpy(), block(hidden, state).numpy(), block


def test_pre_norm_leaves_the_residual_alone(random_model: Callable[..., Any]) -> None:
    before, after, _ = outcome(random_model("bloom"))
    np.testing.assert_array_equal(after, before)


def test_chatglm_scales_a_residual_that_starts_after_the_norm(
    random_model: Callable[..., Any],
) -> None:
    model = random_model("chatglm")
    before, after, block = outcome(model)
    scale = model.spec.norm.residual_scale
    assert scale > 1
    middle = scale * block.attn_norm(paddle.to_tensor(before))
    np.testing.assert_allclose(after, (scale * block.mlp_norm(middle)).numpy(), rtol=1e-5)


def test_the_norm_is_of_the_familys_kind(random_model: Callable[..., Any]) -> None:
    assert isinstance(make_norm(random_model("llama").spec, 4, 1e-5), RmsNorm)
    assert isinstance(make_norm(random_model("gpt2").spec, 4, 1e-5), LayerNorm)
