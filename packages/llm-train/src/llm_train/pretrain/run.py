"""Runs `llm train pretrain`."""

from __future__ import annotations

from pathlib import Path

from llm_train.errors import RecipeError
from llm_train.pretrain.options import PretrainOptions


def pretrain(options: PretrainOptions) -> None:
    """Train as the options say. Raises the errors of `llm_train.loop.run_training`."""
    from llm_convert.hub import resolve_model
    from llm_train.forecast.room import check_room
    from llm_train.launch import launch, needs_launch
    from llm_train.places import check_pretraining
    from llm_train.precheck import check_model, check_processes
    from llm_train.quiet import import_paddlenlp

    if not options.input_dir:
        message = "Missing --input_dir: the folder of the .bin/.idx files to train on."
        raise RecipeError(message)
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    check_model(options.model_name_or_path)
    check_processes(options)
    check_pretraining(options)
    check_room(options)
    if needs_launch(options):
        launch(options, "llm_train.pretrain.run:pretrain")
        return
    import_paddlenlp()
    from llm_train.blanks.tokens import blank_tokens
    from llm_train.loop import run_training
    from llm_train.loop.device import use_device
    from llm_train.model import FullModelFiles, build_model
    from llm_train.parallel.groups import start
    from llm_train.parallel.layout import current_layout
    from llm_train.pretrain.data import pretraining_data
    from llm_train.tokenizer import optional_tokenizer

    use_device(options.device)
    parallel = start(current_layout(options))
    model = build_model(
        options.model_name_or_path,
        continue_training=options.takes_weights(default=False),
        seed=options.seed,
        parallel=parallel,
    )
    replicas = parallel.layout.replicas if parallel else 1
    tokenizer = optional_tokenizer(options, model)
    run_training(
        model,
        options,
        pretraining_data(
            options,
            model.spec,
            model.sizes,
            replicas,
            blank_tokens(model.spec, model.source, tokenizer),
        ),
        FullModelFiles(model, tokenizer, parallel),
        command="train pretrain",
        inputs={
            "model_name_or_path": options.model_name_or_path,
            "tokenizer_name_or_path": options.tokenizer_name_or_path,
            "input_dir": options.input_dir if Path(options.input_dir).exists() else None,
        },
        parallel=parallel,
    )
