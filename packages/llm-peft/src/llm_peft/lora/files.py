"""An adapter in training to a folder, and back: `llm_train.loop.ModelFiles` of a LoRA run."""

from __future__ import annotations

from pathlib import Path

from llm_convert.lora import read_lora, write_lora
from llm_convert.model import Model, copy_companions
from llm_kernels.paddle.decoder import Decoder
from llm_peft.base import write_sketch
from llm_peft.lora.adapt import lora_layers, read_adapter, set_adapter
from llm_peft.lora.layer import LoraShape


class LoraFiles:
    """Writes `lora_config.json` and `lora_model_state.pdparams` as PaddleNLP does."""

    def __init__(
        self, decoder: Decoder, shape: LoraShape, base: Model, companions: Path | None = None
    ) -> None:
        """`base`: the model that is adapted. `companions`: folder of the tokenizer's files."""
        self._decoder = decoder
        self._shape = shape
        self._base = base
        self._companions = companions

    def save(self, folder: Path) -> None:
        """Write the adapter, and the tokenizer that it was trained with."""
        write_lora(
            folder,
            read_adapter(self._decoder, self._shape),
            spec=self._base.spec,
            sizes=self._base.sizes,
            base_model_name_or_path=str(self._base.path),
            lora_dropout=self._shape.dropout,
        )
        keys = [key for key, _ in lora_layers(self._decoder)]
        write_sketch(folder, self._base.dense, keys, str(self._base.path))
        if self._companions is not None:
            copy_companions(self._companions, folder)

    def load(self, folder: Path) -> None:
        """Set the adapter from a folder that `save` filled, or any of the same shape."""
        set_adapter(self._decoder, read_lora(folder, self._base))
