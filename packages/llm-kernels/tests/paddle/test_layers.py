"""The seam for other linear and embedding classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from paddle import nn

from llm_kernels.errors import ShapeError
from llm_kernels.families import FAMILIES, SLOTS, ParameterKey
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.layers import Layers, dense_embedding, dense_linear


class Column(nn.Linear):
    """A linear that says it was made for a column slot."""


class Row(nn.Linear):
    """A linear that says it was made for a row slot."""


def test_every_slot_gets_the_class_of_its_split(random_model: Callable[..., Any]) -> None:
    model = random_model("qwen2_moe" if "qwen2_moe" in FAMILIES else "qwen2-moe")
    layers = Layers(
        column=lambda i, o, bias: Column(i, o, bias_attr=None if bias else False),
        row=lambda i, o, bias: Row(i, o, bias_attr=None if bias else False),
    )
    decoder = Decoder(model.spec, model.sizes, layers)
    made = {"column": Column, "row": Row, "replicated": nn.Linear}
    for name, layer in decoder.named_sublayers():
        if isinstance(layer, nn.Linear):
            slot = SLOTS[ParameterKey.parse(f"{name}.weight").slot]
            assert type(layer) is made[slot.split], name


def test_dense_layers_have_the_shapes_they_promise() -> None:
    assert dense_linear(3, 5, True).weight.shape == [3, 5]
    assert dense_linear(3, 5, True).bias.shape == [5]
    assert dense_linear(3, 5, False).bias is None
    assert dense_embedding(7, 2).weight.shape == [7, 2]


def test_ranks_share_heads_or_hold_one_together(random_model: Callable[..., Any]) -> None:
    sizes = replace(random_model("llama").sizes, heads=8, kv_heads=2)
    assert (Layers(degree=2).heads(sizes), Layers(degree=2).groups(sizes)) == (4, 1)
    assert (Layers(degree=4).heads(sizes), Layers(degree=4).groups(sizes)) == (2, 1)
    few = Layers(few=Row, degree=4)
    assert few.key_value(sizes) is Row
    assert Layers(few=Row, degree=2).key_value(sizes) is dense_linear


@pytest.mark.parametrize("degree", [3, 16])
def test_heads_that_cannot_be_shared_are_refused(
    degree: int, random_model: Callable[..., Any]
) -> None:
    sizes = replace(random_model("llama").sizes, heads=8, kv_heads=2)
    with pytest.raises(ShapeError, match="8 query heads and 2 KV heads"):
        Layers(degree=degree).heads(sizes)
