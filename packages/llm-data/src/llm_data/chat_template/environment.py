"""The sandbox that templates run in: no attribute writes, no access to Python's internals.

jinja2 is imported when the first template is compiled; most answers and trainings have none.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llm_data.errors import ChatTemplateError

if TYPE_CHECKING:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment


@lru_cache(maxsize=64)
def compiled(source: str, name: str) -> jinja2.Template:
    """The template of `source`; `name` is where it came from, for messages.

    Raises ChatTemplateError for a syntax error.
    """
    import jinja2

    try:
        return _environment().from_string(source)
    except jinja2.TemplateError as error:
        message = f"The chat template {name} is not valid Jinja: {error}."
        raise ChatTemplateError(message) from error


def rendered(source: str, name: str, **variables: Any) -> str:
    """Text of the template. Raises ChatTemplateError when it refuses or fails."""
    import jinja2

    try:
        return compiled(source, name).render(**variables)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
        if isinstance(error, ChatTemplateError):
            raise
        message = f"The chat template {name} refuses the conversation: {error}."
        raise ChatTemplateError(message) from error


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from llm_data.chat_template.generation_tag import GenerationTag

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=[loopcontrols, GenerationTag],
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> None:
    import jinja2

    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes HTML characters; a model must see the JSON itself."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
