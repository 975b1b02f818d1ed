"""Runs both commands: every line is answered before the next is read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from llm_cli.outputs import written_file
from llm_data.codec.options import CodecOptions, DecodeOptions, EncodeOptions
from llm_data.errors import RecordError
from llm_data.tokenizer import load_tokenizer
from llm_data.tokenizer.surroundings import surroundings


def encode(options: EncodeOptions) -> None:
    """Run `llm data encode`. Raises RecordError naming a line that is no JSON string."""
    tokenizer = load_tokenizer(options.tokenizer_name_or_path)

    def ids(value: Any) -> list[int]:
        if not isinstance(value, str):
            message = f"a JSON {type(value).__name__} where a string is needed"
            raise RecordError(message)
        _check_unicode(value)
        return tokenizer.encode(
            value, options.add_special_tokens, parse_special=options.parse_special
        )

    _each_line(options, ids)


def decode(options: DecodeOptions) -> None:
    """Run `llm data decode`. Raises RecordError naming a line that is no list of ids."""
    tokenizer = load_tokenizer(options.tokenizer_name_or_path)
    around = surroundings(tokenizer)

    def text(value: Any) -> str:
        if not isinstance(value, list) or any(type(item) is not int for item in value):
            message = "no JSON list of ids"
            raise RecordError(message)
        beyond = next((i for i in value if not 0 <= i < tokenizer.vocab_size), None)
        if beyond is not None:
            message = f"id {beyond}: the vocabulary ends at {tokenizer.vocab_size - 1}"
            raise RecordError(message)
        ids = around.taken_off(value) if options.add_special_tokens else value
        return tokenizer.decode(ids, skip_special_tokens=options.skip_special_tokens)

    _each_line(options, text)


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        message = "half of a surrogate pair"
        raise RecordError(message) from error


def _each_line(options: CodecOptions, answer: Callable[[Any], object]) -> None:
    name = options.input_path or "standard input"
    with ExitStack() as stack:
        source = _source(options, stack)
        target = _target(options, stack)
        for number, line in _lines(source):
            try:
                result = answer(_value(line))
            except RecordError as error:
                message = f"{name}, line {number}: {error}. Mend the line."
                raise RecordError(message) from error
            target.write(json.dumps(result, ensure_ascii=False).encode() + b"\n")
            if target is sys.stdout.buffer:
                target.flush()


def _source(options: CodecOptions, stack: ExitStack) -> BinaryIO:
    if options.input_path is None:
        return sys.stdin.buffer
    path = Path(options.input_path).expanduser()
    if not path.is_file():
        message = f"--input_path {path} is no file. Name a file of JSON lines."
        raise RecordError(message)
    return stack.enter_context(path.open("rb"))


def _target(options: CodecOptions, stack: ExitStack) -> BinaryIO:
    """A file is written whole or not at all; standard output, pipes and devices line by line."""
    if options.output_path is None:
        return sys.stdout.buffer
    path = Path(options.output_path).expanduser()
    if path.exists() and not path.is_file():
        return stack.enter_context(path.open("wb"))
    return stack.enter_context(written_file(path))


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(number, line); blank lines only at the end, where they stand for nothing."""
    blank: int | None = None
    for number, line in enumerate(iter(source.readline, b""), start=1):
        if not line.strip():
            blank = blank or number
            continue
        if blank is not None:
            # Left out, it would shift every answer behind it against its question.
            yield blank, b""
        yield number, line


def _value(line: bytes) -> Any:
    if not line:
        message = "the line is blank"
        raise RecordError(message)
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        message = "invalid UTF-8"
        raise RecordError(message) from error
    except ValueError as error:
        message = f"invalid JSON ({error})"
        raise RecordError(message) from error
