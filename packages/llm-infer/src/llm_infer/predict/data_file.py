"""A data file of prompts: every line is checked first, then answered, each answer kept at once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from llm_cli.console import console
from llm_cli.lineage import fingerprint
from llm_cli.progress import progress
from llm_data.errors import DataError
from llm_data.json_lines import JsonLines
from llm_infer.engine import FinishReason, SamplingParams, TokenEvent
from llm_infer.errors import DataFileError, InferError
from llm_infer.named_paths import named_paths
from llm_infer.predict.journal import Journal, journal_of
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.prompts import question
from llm_infer.predict.session import Session, open_session

WITHOUT_EFFECT = (
    "data_file", "output_file", "overwrite", "batch_size", "block_size", "num_blocks",
    "max_batch_tokens", "threads", "stream", "prompt", "block_attn", "model_name_or_path",
    "tokenizer_name_or_path", "lora_path", "prefix_path", "chat_template", "prefix_cache",
    "speculate_ngram", "export_precache", "avx_model", "avx_type", "avx_cachekv_type",
    "use_flash_attention", "model_type", "total_max_length",
)  # fmt: skip
"""Options that do not change an answer, or whose files are compared by their content."""

WHOLE = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.DEADLINE)
"""Ends of an answer that is kept; one that was cut off by the end of the run is made again."""


def answer_file(options: PredictOptions) -> None:
    """Answer every line of --data_file into --output_file.

    Raises DataFileError or PromptTooLongError naming file and line before anything is generated.
    """
    assert options.data_file is not None
    output = Path(options.output_file)
    if output.is_dir():
        message = f"--output_file {output} is a folder; name a file in it."
        raise DataFileError(message)
    if output.exists() and not options.overwrite and not journal_of(output).exists():
        message = (
            f"--output_file {output} exists, and would be replaced. Name another file, or add "
            "--overwrite."
        )
        raise DataFileError(message)
    lines = JsonLines([_existing(options.data_file)])
    if not len(lines):
        message = f"--data_file {options.data_file} holds no lines; nothing can be answered."
        raise DataFileError(message)
    for index in range(len(lines)):
        _checked(lines, index, lambda record: question(record))
    session = open_session(options, batch_size=options.batch_size, truncate=options.truncate)
    for index in range(len(lines)):
        _asked(session, lines, index)
    with contextlib.ExitStack() as closing:
        journal = Journal(output, _run(options))
        closing.callback(journal.close)
        # Runs before the journal is closed, so that nothing in flight reaches a closed journal.
        closing.callback(session.engine.close)
        _answer(session, lines, journal, options.batch_size)
        journal.finish(lines[index] for index in range(len(lines)))
    count = "1 answer" if len(lines) == 1 else f"{len(lines):,} answers"
    console.print(f"Wrote {output}: {count}.", markup=False)


def _answer(session: Session, lines: JsonLines, journal: Journal, batch_size: int) -> None:
    engine = session.engine
    todo = [index for index in range(len(lines)) if index not in journal.outputs]
    todo.reverse()
    with progress("predict", total=len(lines), unit="lines") as bar:
        bar.resume_at(len(lines) - len(todo))
        in_flight: set[int] = set()
        failures: list[str] = []

        def submit(index: int) -> None:
            ids, params = _asked(session, lines, index)
            pieces: list[str] = []

            def take(event: TokenEvent) -> None:
                pieces.append(event.text)
                if event.finish_reason is None:
                    return
                in_flight.discard(index)
                if event.finish_reason in WHOLE:
                    journal.write(index, "".join(pieces))
                    bar.advance()
                elif event.finish_reason is FinishReason.ERROR:
                    failures.append(f"{lines.place(index)}: {event.error}")

            in_flight.add(index)
            engine.add_request(ids, params, take)

        while todo or in_flight:
            # Two batches at most are encoded ahead, so that memory does not grow with the file.
            while todo and len(in_flight) < 2 * batch_size:
                submit(todo.pop())
            engine.step()
            if failures:
                message = f"{failures[0]} The answers that are ready are kept in {journal.path}."
                raise InferError(message)


def _asked(session: Session, lines: JsonLines, index: int) -> tuple[list[int], SamplingParams]:
    """The prompt of a line and how it is to be answered."""

    def ask(record: Any) -> tuple[list[int], SamplingParams]:
        ids = session.prompts.conversation(question(record))
        return ids, session.params(len(ids), index, record.get("prefix"), record.get("adapter"))

    asked: tuple[list[int], SamplingParams] = _checked(lines, index, ask)
    return asked


def _checked(lines: JsonLines, index: int, work: Any) -> Any:
    """`work` on the object of a line; errors name file and line."""
    record = lines[index]
    try:
        return work(record)
    except (InferError, DataError) as error:
        message = f"{lines.place(index)}: {error}"
        raise type(error)(message.rstrip(".") + ".") from error


def _existing(path: str) -> Path:
    if not Path(path).is_file():
        message = f"--data_file {path} does not exist or is no file. Check the path."
        raise DataFileError(message)
    return Path(path)


def _run(options: PredictOptions) -> dict[str, Any]:
    """What makes a run another run: inputs by content, and the options that change answers."""
    values = dataclasses.asdict(options)
    run = {name: value for name, value in values.items() if name not in WITHOUT_EFFECT}
    with Path(values["data_file"]).open("rb") as stream:
        # The whole of it, as a changed line in the middle has another answer.
        run["data_file"] = hashlib.file_digest(stream, "sha256").hexdigest()
    for name in ("model_name_or_path", "tokenizer_name_or_path"):
        run[name] = fingerprint(values[name]) if values[name] else None
    for name in ("lora_path", "prefix_path"):
        paths = named_paths(name, values[name])
        run[name] = {called: fingerprint(path) for called, path in sorted(paths.items())}
    template = values["chat_template"]
    known = template is not None and Path(template).exists()
    run["chat_template"] = fingerprint(template) if known else template
    return run
