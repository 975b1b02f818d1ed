"""The family table: rows only. A new family is a row here, its names in llm-convert, a fixture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_kernels.families.rows import (
    bloom,
    chatglm,
    deepseek,
    falcon,
    gemma,
    glm,
    gpt,
    llama,
    moe,
    opt,
    qwen,
)
from llm_kernels.families.rows.row import Row

ROWS: tuple[Row, ...] = (
    *llama.ROWS,
    *qwen.ROWS,
    *moe.ROWS,
    *gpt.ROWS,
    *opt.ROWS,
    *bloom.ROWS,
    *chatglm.ROWS,
    *glm.ROWS,
    *falcon.ROWS,
    *gemma.ROWS,
    *deepseek.ROWS,
)

UNSUPPORTED_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "kv_lora_rank": "multi-head latent attention (kv_lora_rank)",
        "n_routed_experts": "group-limited expert routing (n_routed_experts)",
        "attn_logit_softcapping": "capped attention scores (attn_logit_softcapping)",
        "final_logit_softcapping": "capped logits (final_logit_softcapping)",
        "parallel_attn": "attention and MLP in parallel (parallel_attn)",
        "use_parallel_residual": "attention and MLP in parallel (use_parallel_residual)",
        "partial_rotary_factor": "a partly rotated head (partial_rotary_factor)",
        "is_encoder_decoder": "an encoder (is_encoder_decoder)",
        "vision_config": "a vision tower (vision_config)",
        "audio_config": "an audio tower (audio_config)",
        "ssm_cfg": "state-space layers (ssm_cfg)",
        "state_size": "state-space layers (state_size)",
        "mamba_d_state": "state-space layers (mamba_d_state)",
        "linear_num_key_heads": "linear attention layers (linear_num_key_heads)",
        "rescale_every": "recurrent layers (rescale_every)",
    }
)
