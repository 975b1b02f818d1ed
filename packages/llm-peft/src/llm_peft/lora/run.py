"""Runs `llm peft lora`."""

from __future__ import annotations

from llm_convert.hub import resolve_model
from llm_convert.model import open_model
from llm_peft.lora.options import LoraOptions
from llm_peft.lora.targets import target_keys
from llm_train.places import check_supervised


def lora(options: LoraOptions) -> None:
    """Train an adapter as the options say and leave it in output_dir.

    Raises TargetError for targets that the model does not have, and the errors of `train_adapter`.
    """
    # What can be known without Paddle is said before the seconds that its import takes.
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    base = open_model(options.model_name_or_path)
    keys = target_keys(base.spec, base.sizes, options.target_modules)
    check_supervised(options, options)

    from llm_train.quiet import import_paddlenlp

    import_paddlenlp()
    from llm_peft.lora.training import train_adapter

    train_adapter(options, base, keys)
