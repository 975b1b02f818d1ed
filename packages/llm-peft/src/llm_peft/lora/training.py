"""One adapter's training: the model with adapters, handed to `llm_train.loop`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from llm_convert.model import Model
from llm_kernels.families import ParameterKey
from llm_peft.lora.adapt import add_lora
from llm_peft.lora.files import LoraFiles
from llm_peft.lora.layer import LoraShape
from llm_peft.lora.options import LoraOptions
from llm_train.loop import TrainingResult, run_training
from llm_train.loop.device import use_device
from llm_train.model import SpecForCausalLM, build_model
from llm_train.model.neftune import add_noise
from llm_train.model.words import Words
from llm_train.sft.data import supervised_data
from llm_train.tokenizer import run_tokenizer

logger = logging.getLogger(__name__)


def train_adapter(
    options: LoraOptions, base: Model, keys: Sequence[ParameterKey]
) -> TrainingResult:
    """Train adapters on the linears `keys` of `base`; the adapter is in output_dir at the end.

    Raises TargetError for a rank that does not fit or a --lora_path of another shape, AdapterError
    for one of another base, and the errors of `llm_train.loop.run_training`, llm_convert and
    llm_data.
    """
    use_device(options.device)
    model = build_model(options.model_name_or_path)
    tokenizer = run_tokenizer(options, model)
    shape = shape_of(options)
    add_lora(model.decoder, keys, shape, seed=options.seed)
    if options.neftune:
        add_noise(model.decoder, options.neftune_noise_alpha)
    files = LoraFiles(model.decoder, shape, base, Words(tokenizer, True, options.chat_template))
    if options.lora_path is not None:
        files.load(Path(options.lora_path))
    _announce(options, model, len(keys))
    return run_training(
        model,
        options,
        supervised_data(options, options, tokenizer),
        files,
        command="peft lora",
        inputs={
            "model_name_or_path": options.model_name_or_path,
            "tokenizer_name_or_path": options.tokenizer_name_or_path,
            "dataset_name_or_path": options.dataset_name_or_path,
            "lora_path": options.lora_path,
        },
    )


def shape_of(options: LoraOptions) -> LoraShape:
    """What the options say of every adapter."""
    return LoraShape(
        options.lora_rank,
        options.alpha,
        options.lora_dropout,
        options.rslora,
        options.lora_plus_scale,
    )


def _announce(options: LoraOptions, model: SpecForCausalLM, linears: int) -> None:
    sizes = [(parameter.size, parameter.stop_gradient) for parameter in model.parameters()]
    trained = sum(size for size, frozen in sizes if not frozen)
    everything = sum(size for size, _ in sizes)
    logger.info(
        "Training %s of %s parameters (%.2f %%), in %d linears.",
        f"{trained:,}",
        f"{everything:,}",
        100 * trained / everything,
        linears,
    )
    if options.use_quick_lora:
        logger.info("use_quick_lora=True has no effect here: results are the same without it.")
