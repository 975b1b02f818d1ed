"""A time limit for calls that have none of their own, such as looking up a host's address."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """The result of `call`, or what it raises; TimeoutError where neither comes in time.

    A call that is late goes on in the background, and its result is lost.
    """
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        message = f"no answer within {seconds:g} s"
        raise TimeoutError(message)
    return results[0]
