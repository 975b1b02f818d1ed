"""Runs `llm train sft`."""

from __future__ import annotations

from pathlib import Path

from llm_train.sft.options import SftOptions


def sft(options: SftOptions) -> None:
    """Train as the options say. Raises the errors of `llm_train.loop.run_training`."""
    from llm_convert.hub import resolve_model
    from llm_train.forecast.room import check_room
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
    check_room(options)
    if needs_launch(options):
        launch(options, "llm_train.sft.run:sft")
        return
    import_paddlenlp()
    from llm_train.loop import run_training
    from llm_train.loop.device import use_device
    from llm_train.model import FullModelFiles, build_model
    from llm_train.model.neftune import add_noise
    from llm_train.model.words import Words
    from llm_train.parallel.groups import start
    from llm_train.parallel.layout import current_layout
    from llm_train.sft.data import held_out, supervised_data
    from llm_train.sft.generation import Judge
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
    judge: Judge | None = None
    if options.eval_with_do_generation and options.evaluates and parallel is None:
        batches = options.batches("eval")
        judge = Judge(
            model.decoder,
            tokenizer,
            held_out(options, options, tokenizer),
            most=max(options.max_length - options.src_length, 1),
            batch=options.per_device_eval_batch_size,
            limit=None if batches is None else batches * options.per_device_eval_batch_size,
            output=Path(options.output_dir) if options.save_generation_output else None,
        )
    run_training(
        model,
        options,
        supervised_data(options, options, tokenizer),
        FullModelFiles(model, Words(tokenizer, True, options.chat_template), parallel),
        command="train sft",
        inputs={
            "model_name_or_path": options.model_name_or_path,
            "tokenizer_name_or_path": options.tokenizer_name_or_path,
            "dataset_name_or_path": options.dataset_name_or_path,
        },
        parallel=parallel,
        judge=judge,
    )
