"""The requests of the OpenAI interface: fields, types, bounds, and sentences for what is wrong.

Every field a client may send is declared here once; the pages under `/docs` derive from it. A field
this server cannot honour is declared as well, with the values that mean "not used", so that asking
for it is an error and never ignored. Knows nothing of models or text.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llm_infer.engine.params import MAX_LOGPROBS
from llm_serve.errors import ApiError

MAX_CHOICES = 128
MAX_STOPS = 16
MAX_STOP_IDS = 1024
MAX_MESSAGES = 16_384
MAX_PARTS = 1024
MAX_BIAS = 100
_ID_DIGITS = 9

_STRINGS = {"type": "array", "items": {"type": "string"}}
_IDS = {"type": "array", "items": {"type": "integer"}}
Neutral = Mapping[str, tuple[object, ...]]
Prompt = Annotated[
    Any,
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, _STRINGS, _IDS, {"type": "array", "items": _IDS}]}
    ),
]
Stop = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "string"}, {**_STRINGS, "maxItems": MAX_STOPS}]})
]


class StreamOptions(BaseModel):
    """What a stream carries besides text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = Field(False, description="End the stream with a chunk of token counts.")


class GenerationRequest(BaseModel):
    """The fields that completions and chat completions share."""

    model_config = ConfigDict(extra="forbid", strict=True)
    #: Fields declared but not honoured: the values that ask for nothing.
    unused: ClassVar[Neutral] = {}

    model: str | None = Field(
        None, description="Name of the served model (the default), an adapter or a tuned prefix."
    )
    temperature: float = Field(1.0, ge=0, le=2, description="0 takes the likeliest token.")
    top_p: float = Field(1.0, ge=0, le=1, description="Keep the likeliest tokens up to this mass.")
    top_k: int = Field(0, ge=-1, description="Keep this many likeliest tokens; 0 or -1: all.")
    min_p: float = Field(
        0.0, ge=0, le=1, description="Drop tokens less likely than this share of the likeliest."
    )
    repetition_penalty: float = Field(
        1.0, ge=0.01, le=10, description="Above 1 makes tokens of prompt and answer less likely."
    )
    ignore_eos: bool = Field(False, description="Go on after the end-of-text token.")
    n: int = Field(1, ge=1, le=MAX_CHOICES, description="Answers for each prompt.")
    stop: Stop = Field(None, description="Text or texts that end the answer; not part of it.")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Repeats the same samples.")
    stream: bool = Field(False, description="Send the answer piece by piece.")
    stream_options: StreamOptions | None = None
    user: str | None = Field(None, description="Accepted and not used.")
    presence_penalty: float = Field(
        0.0, ge=-2, le=2, description="Above 0: tokens of the answer become less likely."
    )
    frequency_penalty: float = Field(
        0.0, ge=-2, le=2, description="The same, times how often the answer holds them."
    )
    logit_bias: dict[str, float] = Field(
        {}, description=f"Token id to what is added to its logit, -{MAX_BIAS} to {MAX_BIAS}."
    )
    stop_token_ids: list[int] = Field(
        [], max_length=MAX_STOP_IDS, description="Tokens that end the answer."
    )
    min_tokens: int = Field(0, ge=0, description="Nothing ends the answer before so many tokens.")

    def named(self, default: str) -> str:
        """Return the name of the model that is asked for."""
        return default if self.model is None else self.model

    def stops(self) -> list[str]:
        """Return the stop texts; ApiError when they are no texts, empty or too many."""
        stops = [self.stop] if isinstance(self.stop, str) else (self.stop or [])
        if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
            message = "stop must be a non-empty string or a list of non-empty strings."
            raise ApiError(400, message, param="stop")
        if len(stops) > MAX_STOPS:
            message = f"stop holds {len(stops)} strings; at most {MAX_STOPS} are allowed."
            raise ApiError(400, message, param="stop")
        return stops

    def biases(self) -> dict[int, float]:
        """Return what is added to the logits of tokens; ApiError for what is no token or bias."""
        found = {}
        for name, value in self.logit_bias.items():
            if not (name.isascii() and name.isdecimal() and len(name) <= _ID_DIGITS):
                message = f"logit_bias: {_shorten(name)} is no token id."
                raise ApiError(400, message, param="logit_bias", code="invalid_value")
            if not -MAX_BIAS <= value <= MAX_BIAS:
                message = (
                    f"logit_bias of token {name} is {value}; it must be between -{MAX_BIAS} and "
                    f"{MAX_BIAS}."
                )
                raise ApiError(400, message, param="logit_bias", code="invalid_value")
            found[int(name)] = value
        return found

    def logprobs_wanted(self) -> int | None:
        """Return how many likeliest tokens are told beside each token, None for no logprobs."""
        raise NotImplementedError

    def include_usage(self) -> bool:
        """Tell whether the stream ends with a chunk of token counts."""
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionRequest(GenerationRequest):
    """Body of `POST /v1/completions`."""

    unused: ClassVar[Neutral] = {
        "best_of": (None, 1),
        "suffix": (None, ""),
    }

    prompt: Prompt = Field(description="Text, list of texts, token ids or list of token id lists.")
    max_tokens: int | None = Field(16, ge=1, description="New tokens; null: all that fit.")
    echo: bool = Field(
        False, description="Begin the text with the prompt, and logprobs with those of its tokens."
    )
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Tell the log probability of each token and of so many likeliest ones.",
    )
    best_of: int | None = Field(None, description="Not supported.")
    suffix: str | None = Field(None, description="Not supported.")

    def logprobs_wanted(self) -> int | None:
        """Return how many likeliest tokens are told beside each token, None for no logprobs."""
        return self.logprobs

    def prompts(self) -> list[str] | list[list[int]]:
        """Return the prompts as a list of texts or a list of token id lists."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt, list) and prompt:
            if all(isinstance(item, str) for item in prompt):
                return prompt
            if all(_is_id(item) for item in prompt):
                return [prompt]
            if all(isinstance(item, list) and all(map(_is_id, item)) for item in prompt):
                return prompt
        message = (
            "prompt must be a string, a list of strings, a list of token ids or a list of lists "
            "of token ids, and not an empty list."
        )
        raise ApiError(400, message, param="prompt")


class TextPart(BaseModel):
    """A piece of a message; only text is understood."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(max_length=MAX_PARTS)] | None = Field(
        None, description="Only an assistant's may be null, which is an empty text."
    )
    name: str | None = Field(None, description="Accepted and not used.")

    @model_validator(mode="after")
    def _has_content(self) -> Message:
        if self.content is None and self.role != "assistant":
            kind, text = "no_content", "A message of the role '{role}' needs content"
            raise PydanticCustomError(kind, text, {"role": self.role})
        return self

    def text(self) -> str:
        """Return the content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class ChatRequest(GenerationRequest):
    """Body of `POST /v1/chat/completions`."""

    unused: ClassVar[Neutral] = {
        "tools": (None, []),
        "tool_choice": (None, "none"),
        "response_format": (None, {"type": "text"}),
    }

    messages: list[Message] = Field(
        min_length=1, max_length=MAX_MESSAGES, description="The conversation so far."
    )
    max_tokens: int | None = Field(None, ge=1, description="New tokens; null: all that fit.")
    max_completion_tokens: int | None = Field(None, ge=1, description="Newer name of max_tokens.")
    logprobs: bool = Field(False, description="Tell the log probability of each token.")
    top_logprobs: int = Field(
        0, ge=0, le=MAX_LOGPROBS, description="And of so many likeliest ones; needs logprobs."
    )
    tools: list[Any] | None = Field(None, description="Not supported.")
    tool_choice: Any = Field(None, description="Not supported.")
    response_format: dict[str, Any] | None = Field(None, description="Not supported.")

    def logprobs_wanted(self) -> int | None:
        """Return how many likeliest tokens are told beside each token, None for no logprobs."""
        if self.top_logprobs and not self.logprobs:
            message = f"top_logprobs is {self.top_logprobs}, but logprobs is not true; add it."
            raise ApiError(400, message, param="top_logprobs", code="invalid_value")
        return self.top_logprobs if self.logprobs else None


class _Brief(reprlib.Repr):
    """Looks at the beginning of a value only: it may be the whole of a large body."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return super().repr_dict(dict(islice(x.items(), self.maxdict + 1)), level)


_brief = _Brief()
_brief.maxlist = _brief.maxdict = 16
_brief.maxstring = _brief.maxother = 100

R = TypeVar("R", bound=GenerationRequest)


def parse(kind: type[R], body: object) -> R:
    """Build a request from decoded JSON; ApiError 400 with one sentence for the first mistake."""
    if not isinstance(body, dict):
        message = f"The body must be a JSON object, got {_shorten(body)}."
        raise ApiError(400, message, code="invalid_json")
    # Clients send null for what they leave out; only max_tokens gives null a meaning of its own.
    given = {
        name: value for name, value in body.items() if value is not None or name == "max_tokens"
    }
    try:
        request = kind.model_validate(given)
    except ValidationError as error:
        raise _explain(kind, error) from None
    for name, neutral in kind.unused.items():
        value = getattr(request, name)
        if value not in neutral:
            message = f"{name}={_shorten(value)} is not supported by this server; leave it out."
            raise ApiError(400, message, param=name, code="unsupported_parameter")
    return request


def _explain(kind: type[GenerationRequest], error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        near = difflib.get_close_matches(name, kind.model_fields, n=1)
        hint = f" Did you mean '{near[0]}'?" if near and len(first["loc"]) == 1 else ""
        message = f"Unknown field '{path}'.{hint}"
        return ApiError(400, message, param=path, code="unknown_parameter")
    if first["type"] == "missing":
        message = f"The field '{path}' is required."
        return ApiError(400, message, param=path, code="missing_required_parameter")
    reason = first["msg"][0].lower() + first["msg"][1:]
    message = f"{path}: {reason}, got {_shorten(first['input'])}."
    return ApiError(400, message, param=path, code="invalid_value")


def _is_id(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _shorten(value: object) -> str:
    text = _brief.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
