from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_kernels.errors import ConfigError, UnknownFamilyError
from llm_kernels.families import (
    FAMILIES,
    Alibi,
    contradiction,
    detect,
    supported_architectures,
)
from llm_kernels.families.registry import computes_as, missing_fields
from llm_kernels.families.rows import ROWS, UNSUPPORTED_FIELDS

GOLDEN = {
    "baichuan2_7b": "baichuan2-7b",
    "baichuan_13b": "baichuan-13b",
    "baichuan_7b": "baichuan-7b",
    "bloom": "bloom",
    "chatglm": "chatglm",
    "chatglm2": "chatglm2",
    "deepseek_v2": "deepseek-v2",
    "deepseek_v2_lite": "deepseek-v2-lite",
    "deepseek_v3": "deepseek-v3",
    "falcon_11b": "falcon-grouped-shared",
    "falcon_40b": "falcon-grouped",
    "falcon_7b": "falcon",
    "falcon_rw": "falcon",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "glm": "glm",
    "glm4": "glm4",
    "glm4_0414": "glm4-0414",
    "glm4_chat": "chatglm2",
    "gpt2": "gpt2",
    "llama_v1": "llama",
    "llama_v2_gqa": "llama",
    "llama_v2_rope_linear": "llama",
    "llama_v3": "llama",
    "mistral": "mistral",
    "mixtral": "mixtral",
    "opt": "opt",
    "phi3": "phi3",
    "phi3_long": "phi3",
    "qwen": "qwen",
    "qwen2": "qwen2",
    "qwen2_moe": "qwen2-moe",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3-moe",
}


def config(architecture: str, **fields: Any) -> dict[str, Any]:
    return {"architectures": [architecture], **fields}


def test_every_golden_fixture_has_its_row(golden: Path) -> None:
    found = {
        path.parent.name: detect(json.loads(path.read_text())).name
        for path in golden.glob("*/config.json")
    }
    assert found == GOLDEN


@pytest.mark.parametrize(
    ("fields", "family"),
    [
        (config("BaiChuanForCausalLM", max_position_embeddings=4096), "baichuan-7b"),
        (config("BaichuanForCausalLM", model_max_length=4096, vocab_size=64000), "baichuan-13b"),
        (config("BaichuanForCausalLM", max_position_embeddings=4096), "baichuan2-7b"),
        (config("BaichuanForCausalLM", model_max_length=4096, vocab_size=125696), "baichuan2-13b"),
        (config("BaichuanForCausalLM", model_max_length=4096, z_loss_weight=0), "baichuan2-13b"),
        (config("OPTForCausalLM", do_layer_norm_before=True), "opt"),
        (config("OPTForCausalLM", do_layer_norm_before=False), "opt-350m"),
        (config("OPTForCausalLM", normalize_before=False), "opt-350m"),
        (config("ChatGLMForCausalLM"), "chatglm"),
        (config("ChatGLMv2ForCausalLM", padded_vocab_size=65024), "chatglm2"),
        (config("GPTForCausalLM", hidden_act="gelu"), "gpt3"),
        (config("FalconForCausalLM"), "falcon"),
        (config("FalconForCausalLM", new_decoder_architecture=True), "falcon-grouped"),
        (
            config("FalconForCausalLM", new_decoder_architecture=True, num_ln_in_parallel_attn=1),
            "falcon-grouped-shared",
        ),
        (config("RWForCausalLM"), "rw"),
        (config("RWForCausalLM", n_head_kv=8, parallel_attn=True), "rw-grouped"),
        (config("DeepseekV2ForCausalLM", q_lora_rank=None), "deepseek-v2-lite"),
        (config("DeepseekV3ForCausalLM", q_lora_rank=1536), "deepseek-v3"),
    ],
)
def test_fields_tell_variants_apart(fields: dict[str, Any], family: str) -> None:
    assert detect(fields) == FAMILIES[family]


@given(
    architecture=st.sampled_from(supported_architectures()),
    present=st.sets(
        st.sampled_from(
            sorted({field for row in ROWS for when in row.when for field in when.present})
        )
    ),
    vocab=st.sampled_from([64_000, 125_696]),
    before=st.sampled_from([None, True, False]),
)
def test_no_config_fits_two_rows(
    architecture: str, present: set[str], vocab: int, before: bool | None
) -> None:
    fields: dict[str, Any] = dict.fromkeys(present, 1)
    fields |= {"vocab_size": vocab, "do_layer_norm_before": before}
    stated = config(architecture, **fields)
    with suppress(UnknownFamilyError):
        spec = detect(stated)
        assert architecture in next(r for r in ROWS if r.spec.name == spec.name).architectures


def test_names_of_families_are_unique() -> None:
    assert len(FAMILIES) == len(ROWS)


def test_an_unknown_architecture_gets_the_nearest_supported_ones() -> None:
    with pytest.raises(UnknownFamilyError) as caught:
        detect(config("GPTNeoXForCausalLM", use_parallel_residual=True, ssm_cfg={"d": 1}))
    message = str(caught.value)
    assert "GPTNeoXForCausalLM" in message
    assert UNSUPPORTED_FIELDS["ssm_cfg"] in message
    listed = [name for name in supported_architectures() if name in message]
    assert "GPTForCausalLM" in listed
    assert "docs/families.md" in message
    assert len(message) < 500
    assert caught.value.exit_code == 2


def test_a_typing_error_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownFamilyError, match="Did you mean Qwen2ForCausalLM"):
        detect(config("Qwen2ForCausaLM"))


def test_a_stranger_is_no_typing_error() -> None:
    with pytest.raises(UnknownFamilyError) as caught:
        detect(config("MambaForCausalLM"))
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "cannot be told. Add"),
        ({"model_type": "gptj"}, "'gptj' is that of none"),
        ({"model_type": "baichuan", "max_position_embeddings": 9}, "'baichuan' is that of 2"),
    ],
)
def test_a_config_that_does_not_tell_its_family(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownFamilyError, match=f"no `architectures`.*{said}"):
        detect(fields)


@pytest.mark.parametrize(
    ("model_type", "family"), [("llama", "llama"), ("qwen2_moe", "qwen2-moe"), ("opt", "opt")]
)
def test_a_type_of_one_family_is_enough(model_type: str, family: str) -> None:
    assert detect({"model_type": model_type}) == FAMILIES[family]
    assert contradiction({"model_type": model_type}) is None


def test_a_type_of_another_family_is_told(golden: Path) -> None:
    told = contradiction(config("LlamaForCausalLM", model_type="gptj"))
    assert told is not None
    assert "'gptj'" in told
    assert "LlamaForCausalLM" in told
    for path in golden.glob("*/config.json"):
        assert contradiction(json.loads(path.read_text())) is None


def test_known_architecture_with_foreign_fields_says_what_is_expected() -> None:
    with pytest.raises(UnknownFamilyError, match="max_position_embeddings present"):
        detect(config("BaiChuanForCausalLM"))


def test_fields_change_the_row() -> None:
    spec = detect(
        config("LlamaForCausalLM", attention_bias=True, mlp_bias=True, hidden_act="gelu_new")
    )
    assert spec.attention.qkv_bias
    assert spec.attention.out_bias
    assert spec.mlp.bias
    assert spec.mlp.activation == "gelu_tanh"
    assert not FAMILIES["llama"].mlp.bias


def test_a_whole_axis_may_change() -> None:
    assert detect(config("LlamaForCausalLM", alibi=True)).position == Alibi()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (config("GPT2LMHeadModel", scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse"),
        (config("LlamaForCausalLM", hidden_act="quick_gelu"), "quick_gelu.*'silu'"),
        (config("ChatGLMModel", position_encoding_2d=False), "position_encoding_2d"),
        (config("GLMModel", block_position_encoding=False), "block_position_encoding"),
    ],
)
def test_values_that_no_row_describes_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        detect(fields)


def test_falcon_says_what_it_is_made_of() -> None:
    small = detect(config("FalconForCausalLM", multi_query=True, parallel_attn=True))
    assert small.attention.single_kv
    assert small.norm.shared
    older = detect(
        config("FalconForCausalLM", multi_query=False, parallel_attn=False, alibi=True, bias=True)
    )
    assert not older.attention.single_kv
    assert not older.norm.parallel
    assert older.position == Alibi(scaled=True, rounded=True)
    assert older.attention.out_bias
    with pytest.raises(ConfigError, match=r"parallel_attn.*False"):
        detect(config("FalconForCausalLM", new_decoder_architecture=True, parallel_attn=False))


def test_deepseek_v2_chooses_as_it_states() -> None:
    grouped = detect(config("DeepseekV2ForCausalLM", topk_method="group_limited_greedy"))
    assert grouped.moe is not None
    assert grouped.moe.groups == "best"
    with pytest.raises(ConfigError, match="norm_topk_prob"):
        detect(config("DeepseekV2ForCausalLM", norm_topk_prob=True))


def test_a_value_of_another_kind_is_refused_not_hashed() -> None:
    with pytest.raises(ConfigError, match=r"hidden_act.*\['silu'\]"):
        detect(config("LlamaForCausalLM", hidden_act=["silu"]))
    with pytest.raises(ConfigError, match="architectures"):
        detect({"architectures": [["LlamaForCausalLM"]]})


def test_what_says_the_same_in_another_class() -> None:
    relu = detect(config("GPT2LMHeadModel", activation_function="relu"))
    other = config("GPTForCausalLM", activation_function="relu")
    assert missing_fields(other, relu) == {"hidden_act": "relu"}
    assert computes_as(detect(other | {"hidden_act": "relu"}), relu)
    assert missing_fields(config("GPT2LMHeadModel", activation_function="relu"), relu) == {}
    # PaddleNLP's "gelu" is the tanh form.
    erf = detect(config("GPT2LMHeadModel", activation_function="gelu"))
    assert missing_fields(config("GPTForCausalLM"), erf) is None
    # A field that says otherwise is not overruled.
    assert missing_fields(config("GPTForCausalLM", hidden_act="gelu"), relu) is None


def test_qwen2_moe_may_lack_its_biases() -> None:
    assert detect(config("Qwen2MoeForCausalLM")).attention.qkv_bias
    assert not detect(config("Qwen2MoeForCausalLM", qkv_bias=False)).attention.qkv_bias
