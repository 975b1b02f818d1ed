"""Models to train: built from a folder, given new weights, written in PaddleNLP's layout.

    model = build_model("folder", continue_training=True)      # a SpecForCausalLM
    logits = model(input_ids)                                  # [B, T, V]
    FullModelFiles(model, tokenizer).save(folder)

`model.decoder` is the `llm_kernels.paddle` decoder; adapters replace its linears in place.
"""

from __future__ import annotations

from llm_train.model.build import build_model
from llm_train.model.files import FullModelFiles, write_model
from llm_train.model.spec_model import SpecConfig, SpecForCausalLM

__all__ = ["FullModelFiles", "SpecConfig", "SpecForCausalLM", "build_model", "write_model"]
