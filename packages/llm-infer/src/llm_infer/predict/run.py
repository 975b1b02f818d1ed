"""Runs `llm infer predict`: prompts on the terminal, a data file, or a benchmark."""

from __future__ import annotations

from llm_convert.hub import resolve_model
from llm_infer.errors import InferError
from llm_infer.predict.benchmark import benchmark
from llm_infer.predict.data_file import answer_file
from llm_infer.predict.options import OUTPUT_FILE, PredictOptions
from llm_infer.predict.session import open_session
from llm_infer.predict.terminal import answer_prompts, read_prompts


def predict(options: PredictOptions) -> None:
    """Run the command; what is wrong with the input is raised before the model is loaded."""
    _check_inputs(options)
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    if options.benchmark:
        benchmark(options)
    elif options.data_file is not None:
        answer_file(options)
    else:
        prompts = read_prompts(options.prompt)
        session = open_session(options, batch_size=options.batch_size, truncate=options.truncate)
        answer_prompts(session, prompts, live=options.stream)


def _check_inputs(options: PredictOptions) -> None:
    """Raise InferError where one of the options would be ignored."""
    given = {
        "--prompt": bool(options.prompt),
        f"--data_file {options.data_file}": options.data_file is not None,
        "--benchmark": options.benchmark,
    }
    asked = [name for name, there in given.items() if there]
    if len(asked) > 1:
        message = (
            f"{' and '.join(asked)} were given together, and only one can be done. Leave out all "
            "but one."
        )
        raise InferError(message)
    writes = options.benchmark or options.data_file is not None
    if not writes and (options.overwrite or options.output_file != OUTPUT_FILE):
        name = "--overwrite" if options.overwrite else f"--output_file {options.output_file}"
        message = (
            f"{name} has no effect on prompts, whose answers are shown on the terminal. Leave it "
            "out and redirect the output, or give the prompts with --data_file."
        )
        raise InferError(message)
