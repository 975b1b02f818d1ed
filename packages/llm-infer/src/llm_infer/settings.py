"""How an engine is made, by concern: frozen values that the options of a command build once.

    load_engine(folder, precision=Precision(quant_type="a8w8"), backend=Backend(threads=2))

Fields have the names of `llm infer`'s options. The defaults compute exactly; those of the command
line are faster (`ModelOptions` says which). Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_kernels.reference import CacheDtype


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What weights are kept as, and how the inputs of linears are rounded."""

    dtype: str = "float32"
    """float32, or bfloat16: what is not quantized takes half the bytes."""
    quant_type: str | None = None
    """weight_only_int8, weight_only_int4, a8w8 or a8w8_fp8 (see `llm_infer.quantize`)."""
    act_quant_type: str | None = None
    """int8_block or int8_token: how inputs of int8 and int4 weights are rounded. With it, `dtype`
    bfloat16 rounds the inputs of its linears to bfloat16."""
    quantize_head: bool = False
    """Keep the head in int8 where the linears are quantized."""

    @property
    def rounds_to_bfloat16(self) -> bool:
        """Whether linears in bfloat16 multiply inputs in bfloat16."""
        return self.dtype == "bfloat16" and self.act_quant_type is not None


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """The paged cache of keys and values."""

    cachekv_dtype: CacheDtype | None = None
    """float32 or bfloat16; None: bfloat16 where the inputs of linears are rounded."""
    cachekv_int8_type: str | None = None
    """dynamic or static: keys and values in int8."""
    block_size: int = 64
    """Tokens of a block, a multiple of 16."""
    num_blocks: int | None = None
    """None: what the sequences need, within the memory that is free."""
    prefix_cache: bool = True
    """Read common beginnings of prompts once."""


@dataclass(frozen=True, kw_only=True)
class AdapterPaths:
    """LoRA adapters and tuned prefixes."""

    lora_path: str | Path | None = None
    """An adapter that is merged while the weights are read."""
    lora_paths: Mapping[str, str | Path] = field(default_factory=dict)
    """Adapters that stay beside the weights, by the names that requests use for them."""
    prefix_paths: Mapping[str, str | Path] = field(default_factory=dict)
    """Tuned prefixes by the names that requests use for them."""


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """What runs at the same time."""

    max_sequences: int = 32
    max_batch_tokens: int = 2048
    """Most tokens of a step; longer prompts are read in chunks."""
    max_length: int | None = None
    """Tokens a sequence for which the cache is sized; longer ones are taken as long as they fit.
    None: the model's context."""
    speculate_ngram: int = 0
    """See `Engine`."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """What computes: one decoder for each pair of `inference_model` and `mode`."""

    inference_model: bool = True
    """False: Paddle's decoder instead of the native one."""
    mode: str = "dynamic"
    """static: what `llm infer export` wrote, a bundle or a Paddle graph."""
    model_prefix: str = "model"
    """Stem of the files of a Paddle graph."""
    threads: int | None = None
    """None: every processor."""
