"""The options of every command that runs a model: which one, and how large its engine is.

Imports nothing heavy: the options of commands are derived from these.
"""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option

MODEL, ENGINE = "Model", "Engine"
"""Panels of the help page."""


@dataclass(kw_only=True)
class ModelOptions:
    """A model, its tokenizer, and the sizes of the engine."""

    model_name_or_path: str = option(
        help="Folder of the model: HF or PaddleNLP layout, dense or quantized; or its name on a "
        "hub, org/name or org/name@revision.",
        group=MODEL,
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub.", group=MODEL
    )
    tokenizer_name_or_path: str | None = option(
        None, help="Folder of the tokenizer; the model's folder by default.", group=MODEL
    )
    quant_type: str | None = option(
        None,
        help="Round the linear weights to int8 or int4 (groups of 128 inputs) while loading: "
        "weight_only_int8, weight_only_int4.",
        group=MODEL,
    )
    block_size: int = option(64, help="Tokens of one block of the KV cache.", group=ENGINE)
    num_blocks: int | None = option(
        None, help="Blocks of the KV cache; from the free memory by default.", group=ENGINE
    )
    max_batch_tokens: int = option(
        2048, help="Most tokens of one step; longer prompts are read in chunks.", group=ENGINE
    )
    threads: int | None = option(
        None, help="Threads of the engine; all cores by default.", group=ENGINE
    )
