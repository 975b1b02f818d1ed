"""Prompts given on the command line or standard input; answers shown as they are generated."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from functools import partial

from llm_infer.engine import FinishReason, TokenEvent
from llm_infer.errors import InferError
from llm_infer.predict.session import Session

logger = logging.getLogger(__name__)


def read_prompts(given: list[str]) -> list[str]:
    """The prompts to answer; '-', or nothing and a pipe, means standard input.

    Raises InferError when there is none, or it is no text.
    """
    if not given and not sys.stdin.isatty():
        given = ["-"]
    prompts = [sys.stdin.read() if prompt == "-" else prompt for prompt in given]
    if not any(prompt.strip() for prompt in prompts):
        message = "There is no prompt. Give --prompt TEXT, --data_file FILE, or text on stdin."
        raise InferError(message)
    for prompt in prompts:
        _check_text(prompt)
    return prompts


def _check_text(prompt: str) -> None:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        message = (
            f"The prompt holds no valid text at character {error.start + 1}: its bytes are not "
            "UTF-8, or were not read as such. Write it in UTF-8, and set PYTHONUTF8=1."
        )
        raise InferError(message) from error


def answer_prompts(session: Session, prompts: list[str], *, live: bool) -> None:
    """Answer `prompts`, batch_size at once, and show the answers in their order."""
    encoded = [session.prompts.text(prompt) for prompt in prompts]
    screen = _Screen(prompts, live=live)
    engine = session.engine
    start = time.perf_counter()
    with contextlib.closing(engine):
        for number, ids in enumerate(encoded):
            params = session.params(len(ids), number)
            engine.add_request(ids, params, partial(screen.take, number))
        while engine.has_work:
            raise_failures(engine.step())
            if screen.failure:
                raise screen.failure
    seconds = time.perf_counter() - start
    stats = engine.stats()
    logger.info(
        "%d prompt tokens, %d new tokens in %.2f s (%.1f tokens/s)",
        stats.prompt_tokens,
        stats.generated_tokens,
        seconds,
        stats.generated_tokens / seconds,
    )


def raise_failures(events: list[TokenEvent]) -> None:
    """Raise InferError for the first request that failed in a step."""
    for event in events:
        if event.finish_reason is FinishReason.ERROR:
            raise InferError(event.error)


class _Screen:
    """Shows one answer at a time, live; what later ones say meanwhile is kept for their turn."""

    def __init__(self, prompts: list[str], *, live: bool) -> None:
        self._prompts = prompts
        self._live = live
        self._texts = [""] * len(prompts)
        self._done = [False] * len(prompts)
        self._turn = 0
        self.failure: OSError | None = None
        """Why answers cannot be shown any more: nobody reads them, or a full disk."""
        self._begin()

    def take(self, number: int, event: TokenEvent) -> None:
        """Take an event of prompt `number`."""
        self._texts[number] += event.text
        self._done[number] = event.finish_reason is not None
        while self._turn < len(self._prompts):
            turn = self._turn
            if self._live or self._done[turn]:
                self._show(self._texts[turn])
                self._texts[turn] = ""
            if not self._done[turn]:
                return
            self._show("\n")
            self._turn += 1
            self._begin()

    def _begin(self) -> None:
        if len(self._prompts) > 1 and self._turn < len(self._prompts):
            self._show(f"[{self._turn + 1}] {self._prompts[self._turn]}\n")

    def _show(self, text: str) -> None:
        if self.failure:
            return
        try:
            # Not through the console: an answer may hold what rich takes for markup.
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            # Not from here: the engine, which calls this, would take it for the reader's mistake.
            error.filename = error.filename or "the standard output"
            self.failure = error
