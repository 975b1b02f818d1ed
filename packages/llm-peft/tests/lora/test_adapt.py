"""Adapters in whole decoders, family by family."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from llm_convert.lora import LoraAdapter
from llm_convert.model import Model, open_model
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters
from llm_kernels.reference_decoder import forward
from llm_peft.errors import TargetError
from llm_peft.lora.adapt import add_lora, lora_layers, read_adapter, set_adapter
from llm_peft.lora.layer import LoraShape
from llm_peft.lora.targets import target_keys
from llm_peft.merge.certificate import adapted

SHAPE = LoraShape(3, 6.0)
FAMILIES = ["llama_v2_gqa", "bloom", "chatglm2", "gpt2", "qwen", "mixtral", "qwen2_moe", "opt"]


def decoder_of(model: Model) -> Decoder:
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.dense)
    decoder.eval()
    return decoder


def ids_of(model: Model) -> np.ndarray:
    return np.random.default_rng(4).integers(0, model.sizes.vocab, (1, 9))


def adapt(model: Model, shape: LoraShape = SHAPE, seed: int = 1) -> Decoder:
    decoder = decoder_of(model)
    add_lora(decoder, target_keys(model.spec, model.sizes, None), shape, seed=seed)
    decoder.eval()
    return decoder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_adapter_changes_nothing_and_is_all_that_learns(golden: Path, family: str) -> None:
    model = open_model(golden / family)
    ids = paddle.to_tensor(ids_of(model))
    before = decoder_of(model)(ids).numpy()
    decoder = adapt(model)
    logits = decoder(ids)
    np.testing.assert_array_equal(logits.numpy(), before)
    logits.square().mean().backward()
    for name, parameter in decoder.named_parameters():
        mine = name.endswith((".lora_A", ".lora_B"))
        assert parameter.stop_gradient is not mine
        assert mine or parameter.grad is None
    # B is zero, so that A has no gradient yet; every B that was used has one.
    gradients = [layer.lora_B.grad for _, layer in lora_layers(decoder)]
    used = [g for g in gradients if g is not None and np.abs(g.numpy()).max() > 0]
    assert len(used) > len(gradients) / 2


@pytest.mark.parametrize("family", FAMILIES)
def test_it_computes_what_the_reference_does(
    golden: Path, family: str, random_pairs: Callable[..., dict]
) -> None:
    model = open_model(golden / family)
    decoder = adapt(model)
    keys = [key for key, _ in lora_layers(decoder)]
    assert set(keys) == set(target_keys(model.spec, model.sizes, None))
    own = read_adapter(decoder, SHAPE)
    pairs = {key: (own.pairs[key][0], b) for key, (_, b) in random_pairs(model, keys, 3).items()}
    adapter = LoraAdapter(3, 6.0, 2.0, pairs)
    set_adapter(decoder, adapter)
    ids = ids_of(model)
    expected = forward(model.spec, model.sizes, adapted(model, adapter), ids[0])
    plain = forward(model.spec, model.sizes, model.weight, ids[0])
    assert np.abs(expected - plain).max() > 0.05
    np.testing.assert_allclose(
        decoder(paddle.to_tensor(ids)).numpy()[0], expected, rtol=1e-4, atol=1e-4
    )


def test_linears_that_files_fuse_share_one_a(golden: Path) -> None:
    layers = dict(lora_layers(adapt(open_model(golden / "bloom"))))
    first = {key.slot: layer.lora_A for key, layer in layers.items() if key.layer == 0}
    assert first["q"] is first["k"] is first["v"]
    assert first["q"] is not first["out"]
    apart = dict(lora_layers(adapt(open_model(golden / "llama_v2_gqa"))))
    second = {key.slot: layer.lora_A for key, layer in apart.items() if key.layer == 0}
    assert second["q"] is not second["k"]


def test_the_start_depends_on_seed_and_linear_alone(base: Model) -> None:
    def starts(targets: list[str] | None, seed: int) -> dict:
        decoder = decoder_of(base)
        add_lora(decoder, target_keys(base.spec, base.sizes, targets), SHAPE, seed=seed)
        return {key: layer.lora_A.numpy() for key, layer in lora_layers(decoder)}

    everything, some, other = starts(None, 1), starts(["q_proj"], 1), starts(["q_proj"], 2)
    for key, a in some.items():
        np.testing.assert_array_equal(a, everything[key])
        assert np.abs(a - other[key]).max() > 0.01
    assert len({a.tobytes() for a in everything.values()}) == len(everything)


def test_a_rank_beyond_the_sizes_is_refused(base: Model) -> None:
    # The KV projections have 2 heads of 16 outputs.
    with pytest.raises(
        TargetError, match=r"--lora_rank 33 exceeds layers\.0\.k\.weight.*at most 32"
    ):
        adapt(base, LoraShape(33, 1.0))


@pytest.mark.parametrize(
    ("shape", "targets", "part"),
    [
        (LoraShape(2, 4.0), None, "the rank of layers.0.q.weight is 2, not 3"),
        (LoraShape(3, 9.0), None, "scales by 3, not by 2"),
        (LoraShape(3, 6.0), ["q"], "it lacks layers.0.k.weight"),
    ],
)
def test_an_adapter_of_another_shape_is_refused(
    base: Model,
    random_pairs: Callable[..., dict],
    shape: LoraShape,
    targets: list[str] | None,
    part: str,
) -> None:
    keys = target_keys(base.spec, base.sizes, targets)
    pairs = random_pairs(base, keys, shape.rank)
    adapter = LoraAdapter(shape.rank, shape.alpha, shape.scaling, pairs)
    with pytest.raises(TargetError, match=re.escape(part)):
        set_adapter(adapt(base), adapter)


def test_more_linears_than_ours_are_refused_unless_they_are_zero(
    base: Model, random_pairs: Callable[..., dict]
) -> None:
    decoder = decoder_of(base)
    add_lora(decoder, target_keys(base.spec, base.sizes, ["q"]), SHAPE, seed=1)
    pairs = random_pairs(base, target_keys(base.spec, base.sizes, ["q", "k"]), 3)
    with pytest.raises(TargetError, match="also adapts layers"):
        set_adapter(decoder, LoraAdapter(3, 6.0, 2.0, pairs))
    silent = {key: (a, b if key.slot == "q" else np.zeros_like(b)) for key, (a, b) in pairs.items()}
    set_adapter(decoder, LoraAdapter(3, 6.0, 2.0, silent))
    for key, layer in lora_layers(decoder):
        np.testing.assert_array_equal(layer.lora_B.numpy(), pairs[key][1])


def test_parameters_trained_in_full_are_refused(
    base: Model, random_pairs: Callable[..., dict]
) -> None:
    keys = target_keys(base.spec, base.sizes, None)
    norm = next(key for key in base.parameters if key.slot == "final_norm")
    adapter = LoraAdapter(
        3, 6.0, 2.0, random_pairs(base, keys, 3), replaced={norm: base.dense(norm)}
    )
    with pytest.raises(TargetError, match=r"trained final_norm\.weight in full"):
        set_adapter(adapt(base), adapter)
