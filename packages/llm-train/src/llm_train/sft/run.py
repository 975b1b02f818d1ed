"""Runs `llm train sft`."""

from __future__ import annotations

from llm_train.sft.options import SftOptions


def sft(options: SftOptions) -> None:
    """Train as the options say. Raises the errors of `llm_train.loop.run_training`."""
    from llm_convert.hub import resolve_model
    from llm_train.launch import launch, needs_launch
    from llm_train.places import check_supervised
    from llm_train.precheck import check_model, check_processes
    from llm_train.quiet import import_paddlenlp

    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    check_model(options.model_name_or_path)
    check_processes(options)
    check_supervised(options, options)
    if needs_launch(options):
        launch(options, "llm_train.sft.run:sft")
        return
    import_paddlenlp()
    from llm_train.loop import run_training
    from llm_train.loop.device import use_device
    from llm_train.model import FullModelFiles, build_model
    from llm_train.model.neftune import add_noise
    from llm_train.parallel.groups import start
    from llm_train.parallel.layout import current_layout
    from llm_train.sft.data import supervised_data
    from llm_train.tokenizer import run_tokenizer

    use_device(options.device)
    parallel = start(current_layout(options))
    model = build_model(
        options.model_name_or_path,
        continue_training=options.takes_weights(default=True),
        seed=options.seed,
        parallel=parallel,
    )
    if options.neftune:
        add_noise(model.decoders[0], options.neftune_noise_alpha)
    tokenizer = run_tokenizer(options, model)
    run_training(
        model,
        options,
        supervised_data(options, options, tokenizer),
        FullModelFiles(model, tokenizer, parallel),
        command="train sft",
        inputs={
            "model_name_or_path": options.model_name_or_path,
            "tokenizer_name_or_path": options.tokenizer_name_or_path,
            "dataset_name_or_path": options.dataset_name_or_path,
        },
        parallel=parallel,
    )
