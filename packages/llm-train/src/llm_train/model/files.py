"""A trained model to a folder in PaddleNLP's layout, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm_convert.model import open_model, save_model
from llm_data.tokenizer import Tokenizer
from llm_kernels.families import ParameterKey
from llm_kernels.paddle.weights import load_parameters, read_parameters
from llm_train.model.naming import naming_of
from llm_train.model.parallel_files import SharedWeights, write_shared_model
from llm_train.model.spec_model import SpecForCausalLM
from llm_train.model.words import Words
from llm_train.parallel.groups import Parallel

_STATED_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def write_model(model: SpecForCausalLM, folder: Path) -> None:
    """config.json and model.safetensors (in the names of `naming_of`) into `folder`."""
    write_weights(model, read_parameters(model.decoder), folder)


def write_weights(
    model: SpecForCausalLM, weights: Mapping[ParameterKey, np.ndarray], folder: Path
) -> None:
    """The same from canonical weights that were read before."""
    save_model(
        folder,
        config=model.source,
        spec=model.spec,
        sizes=model.sizes,
        parameters=weights.__getitem__,
        naming=naming_of(model.spec, model.sizes),
    )


def state_token_ids(config: dict[str, Any], tokenizer: Tokenizer) -> None:
    """Let `config` state the tokenizer's BOS, EOS and padding ids where it states none."""
    for name in _STATED_IDS:
        if config.get(name) is None and getattr(tokenizer, name) is not None:
            config[name] = getattr(tokenizer, name)


class FullModelFiles:
    """`llm_train.loop.ModelFiles` of a model that is trained as a whole."""

    def __init__(
        self,
        model: SpecForCausalLM,
        tokenizer: Tokenizer | Words | None = None,
        parallel: Parallel | None = None,
    ) -> None:
        """`tokenizer`: its files, and the chat template beside them, go with the model; `Words`
        may add a lock of both.

        `parallel`: the processes that hold it together; they save and load together.
        """
        self._model = model
        if tokenizer is not None and not isinstance(tokenizer, Words):
            tokenizer = Words(tokenizer)
        self._words = tokenizer
        self._leads = parallel is None or parallel.leads
        self.shared = None if parallel is None else SharedWeights(model, parallel)

    def save(self, folder: Path) -> None:
        """Write the model and copy the tokenizer's files."""
        if self.shared is None:
            write_model(self._model, folder)
        else:
            write_shared_model(self.shared, folder)
        if self._words is not None and self._leads:
            self._words.save(folder)

    def snapshot(self) -> Callable[[Path], None] | None:
        """What writes the model as it is now, whenever it is called; None: only `save` can."""
        if self.shared is not None:
            return None
        weights = read_parameters(self._model.decoder)

        def write(folder: Path) -> None:
            write_weights(self._model, weights, folder)
            if self._words is not None:
                self._words.save(folder)

        return write

    def load(self, folder: Path) -> None:
        """Set all weights from a folder that `save` filled, with any layout of processes."""
        if self.shared is None:
            load_parameters(self._model.decoder, open_model(folder).dense)
        else:
            self.shared.set(folder)
