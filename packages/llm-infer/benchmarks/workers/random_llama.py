"""A Llama of random bfloat16 weights: random_llama.py SHAPE TOKENIZER OUTPUT (with torch)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "0.5b": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "intermediate_size": 4096,
    },
    "1.1b": {
        "hidden_size": 2048,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "intermediate_size": 5632,
    },
}


def main() -> None:
    """Make and save the model, with the tokenizer's files beside it."""
    shape, tokenizer, output = sys.argv[1:]
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(vocab_size=32000, max_position_embeddings=4096, **SHAPES[shape])
    LlamaForCausalLM(config).save_pretrained(output)
    for file in Path(tokenizer).iterdir():
        shutil.copy(file, output)


if __name__ == "__main__":
    main()
