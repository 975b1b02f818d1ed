"""The Paddle decoder against the NumPy reference, for every family and its awkward sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import paddle
import pytest

from llm_kernels.errors import ShapeError
from llm_kernels.families import (
    FAMILIES,
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    NtkScaling,
    YarnScaling,
)
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.layers import Layers
from llm_kernels.paddle.weights import load_parameters
from llm_kernels.reference_decoder import KvCache, forward

TOLERANCE = 2e-5
SCALINGS = [
    LinearScaling(2.0),
    NtkScaling(2.0),
    DynamicScaling(2.0, 8),
    Llama3Scaling(8.0, 1.0, 4.0, 32),
    YarnScaling(4.0, 16, 32.0, 1.0, 1.1),
]


def built(model: Any) -> Decoder:
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.parameters.__getitem__)
    decoder.eval()
    return decoder


def run(decoder: Decoder, tokens: np.ndarray, **arguments: Any) -> np.ndarray:
    with paddle.no_grad():
        logits: np.ndarray = decoder(paddle.to_tensor(tokens), **arguments).numpy()
    return logits


def tokens_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 41, count)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_computes_what_the_reference_computes(
    family: str, random_model: Callable[..., Any]
) -> None:
    model = random_model(family, seed=1)
    tokens, positions = tokens_of(12), model.positions(12)
    prefix = 4 if model.spec.mask == "prefix" else 0
    expected = forward(
        model.spec, model.sizes, model.parameters, tokens, positions=positions, prefix=prefix
    )
    actual = run(
        built(model),
        tokens[None],
        position_ids=paddle.to_tensor(positions[None]),
        prefix=paddle.to_tensor([prefix]) if prefix else None,
    )
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(actual[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("family", ["llama", "bloom", "opt", "qwen", "mixtral", "chatglm2"])
def test_a_cache_gives_the_logits_of_the_whole_sequence(
    family: str, random_model: Callable[..., Any]
) -> None:
    model = random_model(family, seed=2)
    tokens = tokens_of(11)
    decoder, cache = built(model), KeyValueCache()
    pieces = [tokens[:6], tokens[6:7], tokens[7:]]
    parts = [run(decoder, piece[None], cache=cache)[0] for piece in pieces]
    assert cache.length == 11
    np.testing.assert_allclose(np.concatenate(parts), run(decoder, tokens[None])[0], atol=TOLERANCE)


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda value: type(value).__name__)
def test_stretched_rotations_follow_the_reference(
    scaling: Any, random_model: Callable[..., Any]
) -> None:
    model = random_model("llama", seed=3, rope_scaling=scaling)
    tokens = tokens_of(40)
    expected = forward(model.spec, model.sizes, model.parameters, tokens)
    np.testing.assert_allclose(run(built(model), tokens[None])[0], expected, atol=TOLERANCE)


def test_qwen_keeps_the_frequencies_of_its_prompt(random_model: Callable[..., Any]) -> None:
    """Beyond the trained length both the dynamic theta and the log scale are at work."""
    model = random_model("qwen", seed=4, max_positions=8)
    tokens = tokens_of(20)
    kept, cache = KvCache(), KeyValueCache()
    decoder = built(model)
    for piece in (tokens[:12], tokens[12:13], tokens[13:]):
        expected = forward(model.spec, model.sizes, model.parameters, piece, cache=kept)
        np.testing.assert_allclose(
            run(decoder, piece[None], cache=cache)[0], expected, atol=TOLERANCE
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_heads": 1},
        {"kv_heads": 4},
        {"window": 3},
        {"window": 3, "full_layers": frozenset({1})},
        {"tied": True},
        {"embed_dim": 10},
    ],
    ids=str,
)
def test_sizes_change_nothing_but_the_sizes(
    changes: dict[str, Any], random_model: Callable[..., Any]
) -> None:
    model = random_model("llama", seed=5, **changes)
    tokens = tokens_of(9)
    expected = forward(model.spec, model.sizes, model.parameters, tokens)
    np.testing.assert_allclose(run(built(model), tokens[None])[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("family", ["llama", "bloom", "gpt2"])
def test_padding_on_either_side_changes_no_real_token(
    family: str, random_model: Callable[..., Any]
) -> None:
    model = random_model(family, seed=6)
    decoder, tokens = built(model), tokens_of(7)
    alone = run(decoder, tokens[None])[0]
    batch = np.zeros((2, 10), dtype=np.int64)
    batch[0, 3:], batch[1, :7] = tokens, tokens
    mask = np.array([[0] * 3 + [1] * 7, [1] * 7 + [0] * 3])
    logits = run(decoder, batch, attention_mask=paddle.to_tensor(mask))
    np.testing.assert_allclose(logits[0, 3:], alone, atol=TOLERANCE)
    np.testing.assert_allclose(logits[1, :7], alone, atol=TOLERANCE)


def test_a_whole_mask_keeps_packed_sequences_apart(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=7)
    decoder, first, second = built(model), tokens_of(4, 1), tokens_of(5, 2)
    segment = np.array([0] * 4 + [1] * 5)
    positions = np.concatenate([np.arange(4), np.arange(5)])
    logits = run(
        decoder,
        np.concatenate([first, second])[None],
        position_ids=paddle.to_tensor(positions[None]),
        attention_mask=paddle.to_tensor((segment[:, None] == segment)[None, None]),
    )[0]
    np.testing.assert_allclose(logits[:4], run(decoder, first[None])[0], atol=TOLERANCE)
    np.testing.assert_allclose(logits[4:], run(decoder, second[None])[0], atol=TOLERANCE)


def test_block_by_block_is_the_same_as_at_once(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=8)
    decoder, tokens = built(model), paddle.to_tensor(tokens_of(6)[None])
    with paddle.no_grad():
        hidden, state = decoder.begin(tokens)
        for block in decoder.blocks:
            hidden = block(hidden, state)
        assert np.array_equal(decoder.finish(hidden).numpy(), decoder(tokens).numpy())


def test_gradients_are_those_of_finite_differences(random_model: Callable[..., Any]) -> None:
    """The reference in float64 gives the slope of the summed logits along a random direction."""
    model = random_model("llama", seed=9)
    decoder, tokens = built(model), tokens_of(6)
    weights = np.random.default_rng(10).standard_normal((6, 41)).astype(np.float32)
    (decoder(paddle.to_tensor(tokens[None]))[0] * paddle.to_tensor(weights)).sum().backward()
    for name in ("embed.weight", "layers.0.k.weight", "layers.1.attn_norm.weight"):
        parameter = dict(decoder.named_parameters())[name]
        direction = np.random.default_rng(11).standard_normal(parameter.shape).astype(np.float32)
        slope = float((parameter.grad.numpy() * direction).sum())
        start, sides = parameter.numpy(), []
        for side in (1e-3, -1e-3):
            parameter.set_value(start + side * direction)
            sides.append(float((run(decoder, tokens[None])[0] * weights).sum(dtype=np.float64)))
        parameter.set_value(start)
        assert slope == pytest.approx((sides[0] - sides[1]) / 2e-3, rel=2e-2, abs=2e-2)


def test_recomputing_gives_the_same_gradients(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=12)
    gradients = []
    for recompute in (False, True):
        decoder = built(model)
        decoder.train()
        for block in decoder.blocks:
            block.enable_recompute = recompute
        decoder(paddle.to_tensor(tokens_of(6)[None])).square().sum().backward()
        gradients.append([p.grad.numpy() for p in decoder.parameters()])
    assert all(np.allclose(*pair, atol=1e-5) for pair in zip(*gradients, strict=True))


def test_ranks_that_cannot_share_the_heads_are_refused(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    with pytest.raises(ShapeError, match="tensor_parallel_degree"):
        Decoder(model.spec, model.sizes, Layers(degree=3))


def test_two_channels_of_positions_must_be_given(random_model: Callable[..., Any]) -> None:
    decoder = built(random_model("glm"))
    with pytest.raises(ShapeError, match="prefix_positions"):
        run(decoder, tokens_of(4)[None])


def test_a_family_is_axes_not_a_name(random_model: Callable[..., Any]) -> None:
    model = random_model("bloom", seed=13)
    model = replace(model, spec=replace(model.spec, name="something new"))
    expected = forward(model.spec, model.sizes, model.parameters, tokens_of(5))
    np.testing.assert_allclose(run(built(model), tokens_of(5)[None])[0], expected, atol=TOLERANCE)


@pytest.mark.parametrize("family", ["llama", "bloom", "gpt2"])
def test_parts_one_after_the_other_are_the_whole(
    family: str, random_model: Callable[..., Any]
) -> None:
    model = random_model(family)
    whole, tokens = built(model), paddle.to_tensor(tokens_of(6)[None])
    layers = model.sizes.layers
    parts = [Decoder(model.spec, model.sizes, blocks=held) for held in (range(1), range(1, layers))]
    for part in parts:
        load_parameters(part, model.parameters.__getitem__)
    with paddle.no_grad():
        hidden, state = parts[0].begin(tokens)
        for block in parts[0].blocks:
            hidden = block(hidden, state)
        state = parts[1].resume(tokens)
        for block in parts[1].blocks:
            hidden = block(hidden, state)
        np.testing.assert_array_equal(parts[1].finish(hidden).numpy(), whole(tokens).numpy())
    names = [name for part in parts for name, _ in part.named_parameters()]
    assert set(names) == {name for name, _ in whole.named_parameters()}
