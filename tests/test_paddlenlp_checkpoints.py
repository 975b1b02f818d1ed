"""Checkpoints that PaddleNLP's own classes save: read by the tables, run by the NumPy decoder.

The other side is PaddleNLP's forward pass. Prefix-mask families are compared by name and shape
only: their classes need masks that PaddleNLP's tokenizers build.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_convert.layout import layout_of_files
from llm_kernels.families import detect, parameters, read_sizes
from llm_kernels.reference_decoder import forward

pytest.importorskip("paddlenlp", reason="needs paddlenlp, whose classes are the oracle")

# Tiny models, as PaddleNLP's classes name their sizes; what every case of a structure shares.
SIZES = json.loads((Path(__file__).parent / "paddlenlp_sizes.json").read_text())
BASE: dict[str, Any] = SIZES["base"]
GROUPED = {**BASE, "num_key_value_heads": 2}
FUSED = {"fuse_attention_qkv": True, "fuse_attention_ffn": True}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
QWEN = {**BASE, **SIZES["qwen"]}
# PaddleNLP trains OPT's head apart from its embedding and does not say so in config.json.
OPT = {**BASE, **STILL, "tie_word_embeddings": False}
# PaddleNLP keeps the head apart from the embedding and does not say so in config.json.
RW = {**SIZES["bloom"], "tie_word_embeddings": False}
RW_1B = {**RW, "alibi": True, "bias": True, "multi_query": False, "parallel_attn": False}
DEEPSEEK = {
    **BASE,
    "num_key_value_heads": 4,
    "num_hidden_layers": 3,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 12,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.7,
    "kv_lora_rank": 20,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 10,
    "seq_length": 64,
    "aux_loss_alpha": 0.0,
    # Its rotary positions fail in PaddleNLP where they are not stretched.
    "rope_scaling": {
        "type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
    },
}
GROUPS = {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}
V3 = {
    **DEEPSEEK,
    **GROUPS,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
    "norm_topk_prob": True,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", GROUPED),
    "llama fused": ("LlamaForCausalLM", {**GROUPED, **FUSED}),
    "llama fused attention": ("LlamaForCausalLM", {**GROUPED, "fuse_attention_qkv": True}),
    "llama alibi": ("LlamaForCausalLM", {**BASE, "alibi": True}),
    "llama dynamic ntk": (
        "LlamaForCausalLM",
        {
            **BASE,
            "rope_scaling_type": "dynamic_ntk",
            "rope_scaling_factor": 3.0,
            "max_position_embeddings": 8,
        },
    ),
    "llama ntk": (
        "LlamaForCausalLM",
        {**BASE, "rope_scaling_type": "ntk", "rope_scaling_factor": 2.0},
    ),
    "llama linear": (
        "LlamaForCausalLM",
        {**BASE, "rope_scaling_type": "linear", "rope_scaling_factor": 2.0},
    ),
    "llama tied": ("LlamaForCausalLM", {**BASE, "tie_word_embeddings": True}),
    "mistral": ("MistralForCausalLM", GROUPED),
    "mixtral": (
        "MixtralForCausalLM",
        {**GROUPED, **SIZES["mixtral"]},
    ),
    "qwen": ("QWenForCausalLM", QWEN),
    "qwen fused": ("QWenForCausalLM", {**QWEN, "fuse_attention_ffn": True}),
    "qwen2": ("Qwen2ForCausalLM", GROUPED),
    "qwen2 fused": ("Qwen2ForCausalLM", {**GROUPED, **FUSED}),
    "qwen2-moe": ("Qwen2MoeForCausalLM", {**GROUPED, **SIZES["experts"]}),
    "qwen2-moe fused": ("Qwen2MoeForCausalLM", {**GROUPED, **SIZES["experts"], **FUSED}),
    "gpt": ("GPTForCausalLM", {**BASE, **STILL}),
    "gpt fused": ("GPTForCausalLM", {**BASE, **STILL, "fuse_attention_qkv": True}),
    "opt": ("OPTForCausalLM", {**OPT, "word_embed_proj_dim": 32}),
    "bloom": ("BloomForCausalLM", SIZES["bloom"]),
    "rw, one kv head": ("RWForCausalLM", {**RW, "multi_query": True, "parallel_attn": True}),
    "rw, alibi": ("RWForCausalLM", RW_1B),
    "gemma": ("GemmaForCausalLM", {**GROUPED, "head_dim": 12}),
    "gemma fused": ("GemmaForCausalLM", {**GROUPED, **FUSED, "head_dim": 8}),
    "deepseek-v2": ("DeepseekV2ForCausalLM", {**DEEPSEEK, **GROUPS}),
    "deepseek-v2 without narrow q": (
        "DeepseekV2ForCausalLM",
        {**DEEPSEEK, "q_lora_rank": None, "topk_method": "greedy"},
    ),
    "deepseek-v3": ("DeepseekV3ForCausalLM", V3),
    "chatglm": ("ChatGLMForCausalLM", SIZES["chatglm"]),
    "chatglm2": ("ChatGLMv2ForCausalLM", SIZES["chatglm2"]),
    "glm": ("GLMForConditionalGeneration", SIZES["glm"]),
}


def make_model(name: str, fields: dict[str, Any]) -> Any:
    from paddlenlp import transformers

    kind = getattr(transformers, name)
    model = kind(kind.config_class(**fields))
    model.eval()
    rng = np.random.default_rng(0)
    for parameter_name, parameter in model.named_parameters():
        norm = ("norm" in parameter_name or ".ln_" in parameter_name) and "weight" in parameter_name
        values = 0.2 * rng.standard_normal(parameter.shape) + float(norm)
        parameter.set_value(values.astype(np.float32))
    return model


@pytest.mark.parametrize("case", CASES)
def test_saved_models_are_read_and_compute_the_same(case: str, tmp_path: Path) -> None:
    import paddle

    model = make_model(*CASES[case])
    model.save_pretrained(str(tmp_path), safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    if "tie_word_embeddings" in CASES[case][1]:
        config["tie_word_embeddings"] = CASES[case][1]["tie_word_embeddings"]
    tensors = load_file(next(tmp_path.glob("*.safetensors")))
    spec = detect(config)
    sizes = read_sizes(spec, config)
    layout = layout_of_files(spec, sizes, {name: each.shape for name, each in tensors.items()})
    assert layout.naming == "paddlenlp"
    layout.check_tied_head(tensors)
    weights = {key: layout.decode(key, tensors) for key in parameters(spec, sizes)}
    if spec.mask == "prefix":
        return
    tokens = np.random.default_rng(1).integers(4, 80, 12)
    output = model(paddle.to_tensor(tokens[None]))
    expected = (output[0] if isinstance(output, tuple) else output).numpy()[0]
    difference = np.abs(forward(spec, sizes, weights, tokens) - expected).max()
    assert difference < 1e-4, difference
