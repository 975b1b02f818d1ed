"""Variants of the families that the golden fixtures do not hold, against transformers.

Random weights are saved by transformers, read by our tables, and run by the NumPy decoder: all
logits, and greedy tokens with a cache.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.numpy import load_file  # noqa: E402

from llm_convert.layout import layout_of_files  # noqa: E402
from llm_kernels.families import detect, parameters, read_sizes  # noqa: E402
from llm_kernels.reference_decoder import KvCache, forward  # noqa: E402

BASE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
GROUPED = {**BASE, "num_key_value_heads": 2}
OPT = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "ffn_dim": 48,
    "max_position_embeddings": 64,
    "word_embed_proj_dim": 32,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
WINDOW = {"sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama yarn": ("Llama", {**GROUPED, "rope_scaling": YARN}),
    "llama yarn, all fields": (
        "Llama",
        {
            **GROUPED,
            "rope_scaling": {
                **YARN,
                "beta_fast": 8.0,
                "beta_slow": 2.0,
                "mscale": 0.7,
                "mscale_all_dim": 1.1,
                "truncate": False,
            },
        },
    ),
    "qwen2 yarn without a length": (
        "Qwen2",
        {**GROUPED, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
    ),
    "llama dynamic": (
        "Llama",
        {
            **GROUPED,
            "max_position_embeddings": 16,
            "rope_scaling": {"rope_type": "dynamic", "factor": 3.0},
        },
    ),
    "llama with biases": (
        "Llama",
        {**GROUPED, "attention_bias": True, "mlp_bias": True, "head_dim": 12},
    ),
    "llama tied, gelu": ("Llama", {**GROUPED, "tie_word_embeddings": True, "hidden_act": "gelu"}),
    "llama multi-query": ("Llama", {**BASE, "num_key_value_heads": 1}),
    "mistral window": ("Mistral", {**GROUPED, "sliding_window": 5}),
    "qwen2 window": ("Qwen2", {**GROUPED, **WINDOW}),
    "qwen3 window and biases": (
        "Qwen3",
        {**GROUPED, **WINDOW, "attention_bias": True, "head_dim": 16},
    ),
    "qwen2-moe with dense layers": (
        "Qwen2Moe",
        {
            **GROUPED,
            **EXPERTS,
            "num_hidden_layers": 4,
            "shared_expert_intermediate_size": 24,
            "mlp_only_layers": [0],
            "decoder_sparse_step": 2,
            "norm_topk_prob": True,
        },
    ),
    "qwen2-moe, every layer slides, no biases": (
        "Qwen2Moe",
        {**GROUPED, **EXPERTS, **WINDOW, "shared_expert_intermediate_size": 24, "qkv_bias": False},
    ),
    "mixtral window": (
        "Mixtral",
        {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 4},
    ),
    "opt-350m": ("OPT", {**OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    "opt without the last norm": ("OPT", {**OPT, "_remove_final_layer_norm": True}),
    "opt without biases, untied": (
        "OPT",
        {**OPT, "enable_bias": False, "activation_function": "gelu", "tie_word_embeddings": False},
    ),
    "bloom, residual after the norm": (
        "Bloom",
        {
            "vocab_size": 97,
            "hidden_size": 48,
            "n_layer": 2,
            "n_head": 6,
            "apply_residual_connection_post_layernorm": True,
        },
    ),
    "gpt2 untied": (
        "GPT2",
        {
            "vocab_size": 97,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_inner": 40,
            "n_positions": 64,
            "activation_function": "relu",
            "tie_word_embeddings": False,
        },
    ),
}
FALCON = {name: value for name, value in BASE.items() if name != "intermediate_size"} | {
    "tie_word_embeddings": True
}
GLM4 = {**GROUPED, "head_dim": 8, "pad_token_id": 0}
GEMMA2 = {**GROUPED, "head_dim": 12, "query_pre_attn_scalar": 20, "sliding_window": 6}
PHI3 = {**GROUPED, "pad_token_id": 0, "original_max_position_embeddings": 48}
LONG = {"type": "longrope", "short_factor": [1.0, 1.2, 1.4, 2.0], "long_factor": [2.0] * 4}
LATENT = {
    **BASE,
    "num_key_value_heads": 4,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 12,
    "first_k_dense_replace": 2,
    "kv_lora_rank": 20,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 20,
}
VARIANTS |= {
    "qwen3-moe, every layer slides": (
        "Qwen3Moe",
        {**GROUPED, **EXPERTS, **WINDOW, "head_dim": 12, "decoder_sparse_step": 2},
    ),
    "falcon with biases and a stretched rotation": (
        "Falcon",
        {**FALCON, "bias": True, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    ),
    "falcon, one norm each, untied": (
        "Falcon",
        {
            **FALCON,
            "new_decoder_architecture": True,
            "num_kv_heads": 1,
            "tie_word_embeddings": False,
            "activation": "gelu_new",
        },
    ),
    "falcon in sequence": ("Falcon", {**FALCON, "parallel_attn": False, "multi_query": True}),
    "gemma with erf gelu and biases": (
        "Gemma",
        {**GROUPED, "head_dim": 12, "hidden_act": "gelu", "attention_bias": True},
    ),
    "gemma2 without caps": (
        "Gemma2",
        {**GEMMA2, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    "gemma2 with stated layers": (
        "Gemma2",
        {**GEMMA2, "layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    ),
    "phi3 plain": ("Phi3", PHI3),
    "phi3 longrope": ("Phi3", {**PHI3, "rope_scaling": LONG}),
    "glm4 without biases": ("Glm", {**GLM4, "attention_bias": False}),
    "glm4-0414 wholly rotated": ("Glm4", {**GLM4, "partial_rotary_factor": 1.0}),
    "deepseek-v2, v wider than q": ("DeepseekV2", {**LATENT, "topk_method": "greedy"}),
    "deepseek-v3 without narrow q": (
        "DeepseekV3",
        {
            **LATENT,
            "q_lora_rank": None,
            "n_group": 2,
            "topk_group": 1,
            "attention_bias": True,
            "norm_topk_prob": False,
            "rope_interleave": False,
        },
    ),
}
CLASSES = {"GPT2": "GPT2LMHeadModel"}
NEW_TOKENS = 20


def make_model(kind: str, fields: dict[str, Any]) -> Any:
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
    config = getattr(transformers, f"{kind}Config")(
        **{**tokens, **fields}, attn_implementation="eager"
    )
    torch.manual_seed(0)
    model = getattr(transformers, CLASSES.get(kind, f"{kind}ForCausalLM"))(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            vector = parameter.ndim == 1 and name.endswith("weight")
            centre = float(parameter.mean()) if vector else 0.0
            parameter.copy_(torch.randn_like(parameter) * 0.2 + centre)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_and_greedy_tokens(variant: str, tmp_path: Path) -> None:
    model = make_model(*VARIANTS[variant])
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    tensors = load_file(tmp_path / "model.safetensors")
    spec = detect(config)
    sizes = read_sizes(spec, config)
    layout = layout_of_files(spec, sizes, {name: each.shape for name, each in tensors.items()})
    layout.check_tied_head(tensors)
    weights = {key: layout.decode(key, tensors) for key in parameters(spec, sizes)}

    prompt = np.random.default_rng(1).integers(4, 90, 23)
    inputs = torch.tensor(prompt)[None]
    with torch.no_grad():
        expected = model(inputs, use_cache=False).logits[0].numpy()
        # The cache of Qwen2-MoE does not slide in every layer, as its masks do.
        answer = model.generate(
            inputs,
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            use_cache=config["model_type"] != "qwen2_moe",
        )[0, len(prompt) :]

    cache = KvCache()
    logits = forward(spec, sizes, weights, prompt, cache=cache)
    difference = np.abs(logits - expected).max()
    assert difference < 1e-4, difference
    found: list[int] = []
    for _ in range(NEW_TOKENS):
        found.append(int(logits[-1].argmax()))
        logits = forward(spec, sizes, weights, found[-1:], cache=cache)
    assert found == answer.tolist()
