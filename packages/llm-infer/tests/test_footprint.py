"""Memory that weights will take, against what decoders with these very weights then hold."""

from __future__ import annotations

import json

import pytest

from llm_convert.model import open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_infer.described import describe
from llm_infer.footprint import first_rows, native_footprint, paddle_footprint
from llm_infer.load import Backend, CacheSettings, Precision, load_engine
from llm_infer.weights import chosen_weights, head_converter
from llm_kernels.decoder import NativeDecoder
from llm_kernels.weights import Int4Weight

ROUNDINGS = [
    {},
    {"dtype": "bfloat16"},
    {"dtype": "bfloat16", "act_quant_type": "int8_block"},
    {"quant_type": "weight_only_int8"},
    {"quant_type": "weight_only_int4"},
    {"quant_type": "weight_only_int4", "act_quant_type": "int8_block"},
    {"quant_type": "a8w8_fp8"},
]
FAMILIES = {
    "llama_v2_gqa": {"intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2},
    "gemma": {"intermediate_size": 512, "head_dim": 64},
    "opt": {"ffn_dim": 512, "word_embed_proj_dim": 256, "num_attention_heads": 4},
    "qwen2_moe": {"moe_intermediate_size": 128, "shared_expert_intermediate_size": 256},
}
"""Sizes of whole tiles, as real models have them; small matrices would be padded to these."""


@pytest.fixture
def described(golden, tmp_path):
    """A model of a family whose weights are random, of sizes that are multiples of 64."""

    def make(family):
        config = json.loads((golden / family / "config.json").read_text())
        config |= {"hidden_size": 256, "vocab_size": 1024, **FAMILIES[family]}
        (tmp_path / "config.json").write_text(json.dumps(config))
        return describe(tmp_path)

    return make


@pytest.fixture
def partly_int4(described, tmp_path):
    """A checkpoint of int4 linears whose first layer is left as it was, as `ignore` lists ask."""
    model = described("llama_v2_gqa")
    skip = frozenset(key for key in model.parameters if key.layer == 0)
    quantization = Quantization.uniform(model.spec, model.sizes, Scheme(4, 128), skip)

    def weight(key):
        dense = model.weight(key)
        return Int4Weight.from_dense(dense, 128) if key in quantization.schemes else dense

    folder = tmp_path / "partly"
    folder.mkdir()
    save_model(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=weight,
        naming="hf",
        quantization=quantization,
    )
    return folder


def footprint(model, given):
    precision = Precision(quantize_head=True, **given)
    weight, head = chosen_weights(model, precision), head_converter(model, precision)
    held = NativeDecoder(model.spec, model.sizes, weight, num_blocks=1, head=head, threads=1)
    return native_footprint(model, first_rows(weight), head), held.weight_bytes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("given", ROUNDINGS)
def test_it_is_what_the_decoder_holds(described, family, given):
    found, held = footprint(described(family), given)
    # The few rows of a router are padded to a tile, which a small model notices.
    assert found.bytes == pytest.approx(held, rel=0.1 if "moe" in family else 0.02)


@pytest.mark.parametrize("act_quant_type", [None, "int8_block"])
def test_a_first_layer_that_is_not_quantized_stands_for_itself_only(partly_int4, act_quant_type):
    model = open_model(partly_int4)
    found, held = footprint(model, {"act_quant_type": act_quant_type})
    assert found.bytes == pytest.approx(held, rel=0.05)
    assert found.rounds_inputs == (act_quant_type is not None)
    engine = load_engine(
        partly_int4,
        precision=Precision(act_quant_type=act_quant_type),
        cache=CacheSettings(num_blocks=4),
        backend=Backend(threads=1),
    )
    assert engine.runner.cache_dtype == ("bfloat16" if act_quant_type else "float32")


def test_few_rows_of_few_weights_are_read(golden):
    model = open_model(golden / "llama_v2_gqa")
    read = []

    def weight(key):
        read.append(key)
        return model.weight(key)

    native_footprint(model, first_rows(weight))
    shapes = {(model.parameters[key], key.slot == "head") for key in model.parameters}
    assert len(read) <= 2 * len(shapes)
    assert all(len(first_rows(weight)(key)) <= 8 for key in model.parameters)


def test_paddle_keeps_float32(golden):
    model = open_model(golden / "llama_v2_gqa")
    count = sum(model.weight(key).size for key in model.parameters)
    assert paddle_footprint(model).bytes == 4 * count
