"""config.json between the ecosystems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.config import config_for, lacks_prefix
from llm_convert.errors import ConvertError
from llm_convert.files.tensor_file import TensorInfo
from llm_kernels.families import detect, read_sizes

TENSORS = {
    "a": TensorInfo(np.dtype(np.float16), (8,)),
    "b": TensorInfo(np.dtype(np.float32), (2,)),
    "c": TensorInfo(np.dtype(np.int32), (800,)),
}
FAMILIES = (
    *("llama_v2_gqa", "llama_v2_rope_linear", "llama_v3", "baichuan_13b", "bloom", "chatglm"),
    *("chatglm2", "glm", "gpt2", "mixtral", "opt", "qwen", "qwen2", "qwen2_moe", "qwen3"),
)
# Their files state `dtype`, as newer versions of transformers do, not `torch_dtype`.
NEWER = (
    *("qwen3_moe", "falcon_7b", "falcon_rw", "falcon_40b", "gemma2", "glm4", "glm4_chat", "phi3"),
    *("deepseek_v2_lite", "deepseek_v3"),
)


def translate(config: dict[str, Any], naming: str, **options: Any) -> dict[str, Any]:
    spec = detect(config)
    return config_for(config, spec, read_sizes(spec, config), naming, TENSORS, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_way_back_restores_the_hub_configuration(golden: Path, family: str) -> None:
    config = json.loads((golden / family / "config.json").read_text())
    there = translate(config, "paddlenlp", without_prefix=True)
    assert there["dtype"] == "float16"
    assert lacks_prefix(there)
    assert not lacks_prefix(config)
    assert translate(there, "hf") == config | {"torch_dtype": "float16"}


@pytest.mark.parametrize("family", [*FAMILIES, *NEWER])
def test_a_translated_configuration_describes_the_same_model(golden: Path, family: str) -> None:
    config = json.loads((golden / family / "config.json").read_text())
    there = translate(config, "paddlenlp")
    spec, same = detect(config), detect(there)
    assert read_sizes(same, there) == read_sizes(spec, config)
    assert (same.norm, same.position, same.attention, same.mlp, same.moe, same.mask) == (
        *(spec.norm, spec.position, spec.attention, spec.mlp, spec.moe, spec.mask),
    )


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 32,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("paddlenlp", "hub"), [("linear", "linear"), ("ntk", "ntk"), ("dynamic_ntk", "dynamic")]
)
def test_rope_scaling_of_paddlenlp(paddlenlp: str, hub: str) -> None:
    config = {**LLAMA, "rope_scaling_type": paddlenlp, "rope_scaling_factor": 2.5}
    back = translate(config, "hf")
    assert back["rope_scaling"] == {"type": hub, "factor": 2.5}
    assert "rope_scaling_type" not in back
    spec = detect(config)
    assert read_sizes(spec, back) == read_sizes(spec, config)
    forth = translate(back, "paddlenlp")
    assert (forth["rope_scaling_type"], forth["rope_scaling_factor"]) == (paddlenlp, 2.5)


def test_a_quantization_is_replaced_never_inherited() -> None:
    config = {**LLAMA, "quantization_config": {"quant_method": "old"}}
    assert "quantization_config" not in translate(config, "hf")
    assert translate(config, "hf", quantization={"a": 1})["quantization_config"] == {"a": 1}


def test_classes_that_are_called_otherwise(golden: Path) -> None:
    named = {}
    for family in ("qwen", "gpt2", "chatglm", "chatglm2", "bloom"):
        config = json.loads((golden / family / "config.json").read_text())
        named[family] = translate(config, "paddlenlp")["architectures"]
    assert named == {
        "qwen": ["QWenForCausalLM"],
        "gpt2": ["GPTForCausalLM"],
        "chatglm": ["ChatGLMForCausalLM"],
        "chatglm2": ["ChatGLMv2ForCausalLM"],
        "bloom": ["BloomForCausalLM"],
    }


def test_a_variant_is_stated_as_paddlenlp_reads_it_and_taken_back(golden: Path) -> None:
    config = json.loads((golden / "gpt2" / "config.json").read_text())
    config["activation_function"] = "relu"
    there = translate(config, "paddlenlp")
    assert there["hidden_act"] == "relu"
    assert detect(there).mlp.activation == "relu"
    assert translate(there, "hf")["activation_function"] == "relu"
    assert "hidden_act" not in translate(there, "hf")


def test_a_variant_that_paddlenlp_cannot_compute_is_refused(golden: Path) -> None:
    config = json.loads((golden / "gpt2" / "config.json").read_text())
    with pytest.raises(ConvertError, match=r"GPTForCausalLM cannot compute.*--to hf"):
        translate(config | {"activation_function": "gelu"}, "paddlenlp")
