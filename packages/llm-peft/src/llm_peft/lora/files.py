"""An adapter in training to a folder, and back: `llm_train.loop.ModelFiles` of a LoRA run."""

from __future__ import annotations

import logging
from pathlib import Path

from llm_convert.lora import check_base, read_lora, sketch, write_lora, write_sketch
from llm_convert.model import Model
from llm_kernels.paddle.decoder import Decoder
from llm_peft.lora.adapt import lora_layers, read_adapter, set_adapter
from llm_peft.lora.layer import LoraShape
from llm_train.model.words import Words

logger = logging.getLogger(__name__)


class LoraFiles:
    """Writes `lora_config.json` and `lora_model_state.pdparams` as PaddleNLP does."""

    def __init__(
        self, decoder: Decoder, shape: LoraShape, base: Model, words: Words | None = None
    ) -> None:
        """`decoder`: with its adapters; `base`: the model that is adapted; `words`: the tokenizer,
        with a lock of its chat template.
        """
        self._decoder = decoder
        self._shape = shape
        self._base = base
        self._words = words
        # Every checkpoint holds the sketch; the base does not change, so it is read once.
        self._sketch = sketch(base, (key for key, _ in lora_layers(decoder)))

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
        write_sketch(folder, self._sketch)
        if self._words is not None:
            self._words.save(folder)

    def load(self, folder: Path) -> None:
        """Set the adapter from a folder that `save` filled, or any of the same shape.

        Raises AdapterError when the folder says that the adapter belongs to another base.
        """
        adapter = read_lora(folder, self._base)
        if not check_base(folder, self._base):
            logger.info("%s does not say which weights its base had; shapes fit.", folder)
        set_adapter(self._decoder, adapter)
