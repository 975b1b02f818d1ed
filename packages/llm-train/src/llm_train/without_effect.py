"""Options of PaddleNLP's recipes that are accepted and not followed here, and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_train.parallel.layout import Layout
    from llm_train.training_options import TrainingOptions

_OWN_WAY = "these settings are of Paddle's own schedules; results are the same"
WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "use_fused_rms_norm": "this version has one norm; results are the same",
        "use_fused_rope": "this version has one rotation; results are the same",
        "fuse_attention_qkv": "the decoder keeps q, k and v apart; results are the same",
        "fuse_attention_ffn": "the decoder keeps gate and up apart; results are the same",
        "use_fused_linear_cross_entropy": "head and loss are computed apart; results are the same",
        "use_fused_head_and_loss_fn": "head and loss are computed apart; results are the same",
        "use_sparse_head_and_loss_fn": "tokens without a label count nothing anyway",
        "flash_mask": "flash attention keeps packed samples apart without a mask anyway",
        "tensor_parallel_output": "the vocabulary is shared until the loss anyway",
        "tensor_parallel_config": _OWN_WAY,
        "pipeline_parallel_config": _OWN_WAY,
        "sharding_parallel_config": _OWN_WAY,
        "data_parallel_config": _OWN_WAY,
        "sequence_parallel_config": _OWN_WAY,
        "hybrid_parallel_topo_order": _OWN_WAY,
        "distributed_dataloader": "every process reads its own samples",
        "unified_checkpoint": "checkpoints are independent of the parallel layout anyway",
        "disable_tqdm": "progress is this toolchain's own",
        "amp_master_grad": "gradients are float32 anyway",
        "eval_accumulation_steps": "evaluation keeps sums only",
    }
)
"""Options that are accepted and do nothing here, and why."""


def without_effect(options: TrainingOptions) -> list[str]:
    """A sentence for every option that was set and does nothing here."""
    defaults = type(options).__dataclass_fields__
    said = [
        f"{name}={getattr(options, name)} has no effect here: {reason}."
        for name, reason in WITHOUT_EFFECT.items()
        if getattr(options, name) != defaults[name].default
    ]
    if options.load_best_model_at_end and not options.evaluates:
        said.append("load_best_model_at_end=True has no effect: nothing is evaluated (do_eval).")
    return said


def unused_axes(options: TrainingOptions, layout: Layout) -> list[str]:
    """A sentence for every option of several processes that this layout has no use for."""
    unused = {
        "sharding": bool(options.sharding) and not layout.stage,
        "sequence_parallel": options.sequence_parallel and not layout.sequence,
        "virtual_pp_degree": options.virtual_pp_degree > 1 and layout.chunks == 1,
    }
    return [
        f"{name}={getattr(options, name)} has no effect here: the processes ({layout}) have "
        "nothing to share that way."
        for name, is_unused in unused.items()
        if is_unused
    ]
