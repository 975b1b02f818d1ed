"""Runs `llm infer predict`: prompts on the terminal, a data file, or a benchmark."""

from __future__ import annotations

from llm_convert.hub import resolve_model
from llm_infer.errors import InferError
from llm_infer.predict.benchmark import benchmark
from llm_infer.predict.data_file import answer_file
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.session import open_session
from llm_infer.predict.terminal import answer_prompts, read_prompts


def predict(options: PredictOptions) -> None:
    """Run the command; what is wrong with the input is raised before the model is loaded."""
    if options.prompt and options.data_file is not None:
        message = (
            f"--prompt and --data_file {options.data_file} were both given, and only one can be "
            "answered. Leave one out."
        )
        raise InferError(message)
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
