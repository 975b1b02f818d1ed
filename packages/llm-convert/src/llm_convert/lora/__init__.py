"""LoRA adapters between files and canonical parameters, and their sum with a base model.

    adapter = read_lora("checkpoints/lora", model)      # PaddleNLP's files or Hugging Face PEFT's
    check_base("checkpoints/lora", model)               # is it the base it was trained on?
    weight = merged(model, adapter)                     # canonical key -> merged array, one by one
    write_lora("checkpoints/lora", adapter, spec=model.spec, sizes=model.sizes)   # PaddleNLP's
    write_peft("checkpoints/peft", adapter, spec=model.spec, sizes=model.sizes)   # PEFT's

An adapter is independent of how its base is stored: fused, transposed or quantized.
"""

from __future__ import annotations

from llm_convert.lora.adapter import LoraAdapter, merged
from llm_convert.lora.base import carried_sketch, check_base, named_base, sketch, write_sketch
from llm_convert.lora.peft_writing import write_peft
from llm_convert.lora.reading import adapter_naming, is_lora, read_lora
from llm_convert.lora.writing import write_lora

__all__ = [
    "LoraAdapter",
    "adapter_naming",
    "carried_sketch",
    "check_base",
    "is_lora",
    "merged",
    "named_base",
    "read_lora",
    "sketch",
    "write_lora",
    "write_peft",
    "write_sketch",
]
