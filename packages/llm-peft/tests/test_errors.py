"""Every error of the package is one that the command frame shows as a sentence."""

from __future__ import annotations

import inspect

import llm_peft.errors as errors


def test_all_end_a_command_with_code_2() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    own = [kind for kind in kinds if kind.__module__ == errors.__name__]
    assert 2 <= len(own) <= 6
    assert all(kind.exit_code == 2 and kind.__doc__ for kind in own)
