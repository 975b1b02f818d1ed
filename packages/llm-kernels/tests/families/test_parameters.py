from __future__ import annotations

from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.families import FAMILIES, SLOTS, ParameterKey, detect, parameters, read_sizes

KEYS = st.sampled_from(sorted(SLOTS)).flatmap(
    lambda slot: st.builds(
        ParameterKey,
        slot=st.just(slot),
        layer=st.none() if SLOTS[slot].scope == "model" else st.integers(0, 200),
        expert=st.integers(0, 200) if SLOTS[slot].scope == "expert" else st.none(),
        leaf=st.sampled_from(["weight", "bias"]),
    )
)


@given(KEYS)
def test_names_parse_back(key: ParameterKey) -> None:
    assert ParameterKey.parse(key.name) == key


@pytest.mark.parametrize(
    "name",
    [
        "",
        "embed",
        "q.weight",
        "layers.q.weight",
        "layers.-1.q.weight",
        "layers.01.q.weight",
        "layers.0.embed.weight",
        "layers.0.q.scale",
        "layers.0.expert_up.weight",
        "layers.0.experts.1.q.weight",
        "layers.0.experts.x.expert_up.weight",
        "layers.0.q.weight.extra",
        "lm_head.weight",
    ],
)
def test_other_strings_are_no_names(name: str) -> None:
    with pytest.raises(KeyError):
        ParameterKey.parse(name)


def test_names_read_well() -> None:
    assert ParameterKey("embed").name == "embed.weight"
    assert ParameterKey("q", 3, leaf="bias").name == "layers.3.q.bias"
    expert = ParameterKey("expert_gate", 3, 2)
    assert expert.name == "layers.3.experts.2.expert_gate.weight"


def llama_like(architecture: str, e: int, n: int, h: int, g: int, m: int, v: int) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "hidden_size": e,
        "num_hidden_layers": n,
        "num_attention_heads": h,
        "num_key_value_heads": g,
        "intermediate_size": m,
        "vocab_size": v,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
    }


OPT = {
    "architectures": ["OPTForCausalLM"],
    "vocab_size": 50272,
    "max_position_embeddings": 2048,
}
QWEN_MOE = {
    "num_experts": 60,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 1408,
    "shared_expert_intermediate_size": 5632,
}

# Sizes of published checkpoints, and the parameter counts that their hubs state.
PUBLISHED: dict[str, tuple[dict[str, Any], int]] = {
    "LLaMA-7B": (llama_like("LlamaForCausalLM", 4096, 32, 32, 32, 11008, 32000), 6_738_415_616),
    "LLaMA-3-8B": (llama_like("LlamaForCausalLM", 4096, 32, 32, 8, 14336, 128256), 8_030_261_248),
    "Mistral-7B": (llama_like("MistralForCausalLM", 4096, 32, 32, 8, 14336, 32000), 7_241_732_096),
    "Mixtral-8x7B": (
        llama_like("MixtralForCausalLM", 4096, 32, 32, 8, 14336, 32000)
        | {"num_local_experts": 8, "num_experts_per_tok": 2},
        46_702_792_704,
    ),
    "Qwen2-0.5B": (
        llama_like("Qwen2ForCausalLM", 896, 24, 14, 2, 4864, 151936)
        | {"tie_word_embeddings": True},
        494_032_768,
    ),
    "Qwen1.5-MoE-A2.7B": (
        llama_like("Qwen2MoeForCausalLM", 2048, 24, 16, 16, 5632, 151936) | QWEN_MOE,
        14_315_784_192,
    ),
    "Qwen3-0.6B": (
        llama_like("Qwen3ForCausalLM", 1024, 28, 16, 8, 3072, 151936)
        | {"tie_word_embeddings": True, "head_dim": 128},
        596_049_920,
    ),
    "Qwen-7B": (
        llama_like("QWenLMHeadModel", 4096, 32, 32, 32, 22016, 151936) | {"seq_length": 8192},
        7_721_324_544,
    ),
    "Baichuan2-7B": (
        llama_like("BaichuanForCausalLM", 4096, 32, 32, 32, 11008, 125696),
        7_505_973_248,
    ),
    "GPT-2": (
        {
            "architectures": ["GPT2LMHeadModel"],
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
            "n_positions": 1024,
            "vocab_size": 50257,
        },
        124_439_808,
    ),
    "OPT-125M": (
        OPT
        | {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "ffn_dim": 3072,
            "word_embed_proj_dim": 768,
        },
        125_239_296,
    ),
    "OPT-350M": (
        OPT
        | {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "ffn_dim": 4096,
            "word_embed_proj_dim": 512,
            "do_layer_norm_before": False,
        },
        331_196_416,
    ),
    "Bloom-560M": (
        {
            "architectures": ["BloomForCausalLM"],
            "hidden_size": 1024,
            "n_layer": 24,
            "n_head": 16,
            "vocab_size": 250880,
        },
        559_214_592,
    ),
    "ChatGLM2-6B": (
        {
            "architectures": ["ChatGLMModel"],
            "hidden_size": 4096,
            "num_layers": 28,
            "num_attention_heads": 32,
            "multi_query_group_num": 2,
            "kv_channels": 128,
            "ffn_hidden_size": 13696,
            "padded_vocab_size": 65024,
            "seq_length": 32768,
        },
        6_243_584_000,
    ),
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_models_have_their_published_number_of_parameters(model: str) -> None:
    config, count = PUBLISHED[model]
    spec = detect(config)
    assert sum(map(prod, parameters(spec, read_sizes(spec, config)).values())) == count


@pytest.mark.parametrize("family", FAMILIES)
def test_every_slot_is_in_the_scope_it_states(family: str, random_model: Any) -> None:
    model = random_model(family)
    for key in model.parameters:
        assert ParameterKey.parse(key.name) == key
