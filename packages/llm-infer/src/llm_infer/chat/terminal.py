"""The terminal's side of a chat: lines in, pieces of answers out, and what the keys do."""

from __future__ import annotations

import contextlib
import importlib
import sys

from llm_infer.chat.dialogue import Dialogue
from llm_infer.engine import FinishReason
from llm_infer.errors import PromptTooLongError

PROMPT = "> "
CONTINUED = "  "
HELP = "/reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer."
NOTES = {
    FinishReason.ABORT: "stopped",
    FinishReason.LENGTH: "no room for more; /reset, or raise --max_length",
    FinishReason.DEADLINE: "out of time",
}


def converse(dialogue: Dialogue) -> None:
    """Read questions and show answers until the reader leaves."""
    if sys.stdin.isatty():
        # Gives input() a line that can be edited, and the lines before it.
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")
        _note(HELP)
    while True:
        try:
            question = _question()
        except EOFError:
            if sys.stdin.isatty():
                sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            _note("/exit or Ctrl-D leaves")
            continue
        if question == "/exit":
            return
        if question == "/reset":
            dialogue.reset()
            _note("the conversation is forgotten")
        elif question.startswith("/") and " " not in question:
            _note(f"{question} is no command. {HELP}")
        elif question:
            _answer(dialogue, question)


def _question() -> str:
    """What was typed, over several lines where they end in a backslash."""
    prompts = (PROMPT, CONTINUED) if sys.stdin.isatty() else ("", "")
    lines = [input(prompts[0])]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input(prompts[1]))
    return "\n".join(lines).strip()


def _answer(dialogue: Dialogue, question: str) -> None:
    pieces = dialogue.ask(question)
    try:
        with contextlib.closing(pieces):
            for number, piece in enumerate(pieces):
                if number == 0 and dialogue.left_out:
                    _note(f"too long; left out: {_rounds(dialogue.left_out)}")
                sys.stdout.write(piece)
                sys.stdout.flush()
    except KeyboardInterrupt:
        # The generator has stopped the model; the program goes on.
        pass
    except PromptTooLongError as error:
        _note(str(error))
        return
    sys.stdout.write("\n")
    if dialogue.finish in NOTES:
        _note(NOTES[dialogue.finish])


def _rounds(count: int) -> str:
    return "the first round" if count == 1 else f"the first {count} rounds"


def _note(text: str) -> None:
    """Say something that is not the model's."""
    sys.stdout.flush()
    sys.stderr.write(f"({text})\n")
    sys.stderr.flush()
