"""What happens between a request's JSON and its answer: read, check, tokenize, generate, shape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llm_data.chat_template import encode_prompt, from_messages
from llm_data.errors import DataError
from llm_infer.engine.params import SamplingParams
from llm_infer.errors import InferError
from llm_serve.answers import Answer, ChatAnswer, CompletionAnswer
from llm_serve.body import read_json
from llm_serve.echo import Echo
from llm_serve.errors import ApiError
from llm_serve.generation import Gathered, Generation, Piece, refusal
from llm_serve.logprobs import ChatLogprobs, CompletionLogprobs
from llm_serve.model import ServedModel
from llm_serve.names import Variant
from llm_serve.schema import (
    ChatRequest,
    CompletionRequest,
    GenerationRequest,
    parse,
)
from llm_serve.state import ServerState
from llm_serve.stream import EventStream, unless_gone

CHARACTERS_A_TOKEN = 128
"""Characters of the longest tokens there are (runs of spaces); a longer text never fits."""
SEND_SECONDS = 5.0
"""What a client gets beyond the time limit to read that it was exceeded."""


async def completions(state: ServerState, request: Request) -> Response:
    """Answer `POST /v1/completions`."""
    asked, prompts = await read_json(state.limits, request, _completion)
    model, variant = _model(state, asked)
    state.check_count(len(prompts) * asked.n)
    _check_lengths(model, prompts, "prompt")
    answer = CompletionAnswer(
        asked.named(state.name),
        int(time.time()),
        asked.include_usage(),
        CompletionLogprobs(model.token_texts) if asked.logprobs is not None else None,
    )
    sampling = _sampling(asked, variant, asked.max_tokens)
    echo = None
    if asked.echo:
        sampling = replace(sampling, prompt_logprobs=asked.logprobs)
        echo = Echo(prompts, asked.n, model.tokenizer, with_logprobs=asked.logprobs is not None)
    work = _Work(
        state=state,
        model=model,
        asked=asked,
        prompts=len(prompts),
        token_ids=partial(_token_ids, model, prompts),
        sampling=sampling,
        answer=answer,
        echo=echo,
    )
    return await _answer(request, work)


async def chat_completions(state: ServerState, request: Request) -> Response:
    """Answer `POST /v1/chat/completions`."""
    asked = await read_json(state.limits, request, partial(parse, ChatRequest))
    model, variant = _model(state, asked)
    _check_lengths(model, ["".join(message.text() for message in asked.messages)], "messages")
    answer = ChatAnswer(
        asked.named(state.name),
        int(time.time()),
        asked.include_usage(),
        ChatLogprobs(model.token_texts) if asked.logprobs else None,
    )
    work = _Work(
        state=state,
        model=model,
        asked=asked,
        prompts=1,
        token_ids=lambda: [_conversation_ids(model, asked)],
        sampling=_sampling(asked, variant, asked.max_completion_tokens or asked.max_tokens),
        answer=answer,
    )
    return await _answer(request, work)


async def _answer(request: Request, work: _Work) -> Response:
    if not work.asked.stream:
        return JSONResponse(await unless_gone(request, work.whole()))
    limits = work.state.limits
    # The generation keeps the time limit itself; what is left is to send its last words.
    timeout = None if limits.request_timeout is None else limits.request_timeout + SEND_SECONDS
    return EventStream(work.frames(), limits.heartbeat, timeout)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One checked request, ready to run as a stream or in one piece."""

    state: ServerState
    model: ServedModel
    asked: GenerationRequest
    prompts: int
    token_ids: Callable[[], list[list[int]]]
    sampling: SamplingParams
    answer: Answer
    echo: Echo | None = None

    @property
    def choices(self) -> int:
        return self.prompts * self.asked.n

    async def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the chunks of a stream."""
        async with self._generation() as (generation, pieces):
            for chunk in self.answer.opening(self.choices):
                yield chunk
            async for piece in pieces:
                yield self.answer.chunk(piece)
            if self.asked.include_usage():
                yield self.answer.last(generation.usage)

    async def whole(self) -> dict[str, Any]:
        """Return the answer in one piece."""
        choices = [Gathered() for _ in range(self.choices)]
        async with self._generation() as (generation, pieces):
            async for piece in pieces:
                choices[piece.index].add(piece)
            return self.answer.whole(choices, generation.usage)

    @asynccontextmanager
    async def _generation(self) -> AsyncIterator[tuple[Generation, AsyncIterable[Piece]]]:
        # Admitted before it is tokenized: a full server must not work for whom it will refuse.
        with self.state.admitted(self.choices):
            ids = await asyncio.to_thread(self.token_ids)
            async with self.state.generation(
                self.model, ids, self.sampling, self.asked.n
            ) as generation:
                yield generation, self._pieces(generation, ids)

    async def _pieces(
        self, generation: Generation, ids: list[list[int]]
    ) -> AsyncGenerator[Piece, None]:
        async for piece in generation:
            yield self.echo(piece, ids) if self.echo else piece


def _check_lengths(model: ServedModel, prompts: Sequence[str | list[int]], param: str) -> None:
    """Refuse what cannot fit before time goes into its tokens."""
    context = model.context_length
    limit = context * CHARACTERS_A_TOKEN
    for prompt in prompts:
        if isinstance(prompt, str) and len(prompt) > limit:
            message = (
                f"A prompt of {len(prompt)} characters does not fit in {context} tokens of "
                f"context; this server reads at most {limit} characters. Shorten it."
            )
        elif not isinstance(prompt, str) and len(prompt) > context:
            message = (
                f"A prompt of {len(prompt)} tokens does not fit in {context} tokens of context. "
                "Shorten it."
            )
        else:
            continue
        raise ApiError(400, message, param=param, code="context_length_exceeded")


def _completion(body: object) -> tuple[CompletionRequest, list[str] | list[list[int]]]:
    asked = parse(CompletionRequest, body)
    return asked, asked.prompts()


def _model(state: ServerState, asked: GenerationRequest) -> tuple[ServedModel, Variant]:
    variant = state.variant(asked.named(state.name))
    return state.model(), variant


def _token_ids(model: ServedModel, prompts: list[str] | list[list[int]]) -> list[list[int]]:
    ids = [
        model.tokenizer.encode(prompt, True) if isinstance(prompt, str) else prompt
        for prompt in prompts
    ]
    for place, prompt_ids in enumerate(ids):
        if not prompt_ids:
            message = f"Prompt {place} is empty; give it at least one token."
            raise ApiError(400, message, param="prompt", code="empty_prompt")
    return ids


def _conversation_ids(model: ServedModel, asked: ChatRequest) -> list[int]:
    if model.template is None:
        message = (
            f"The model '{model.name}' has no chat template (chat_template.json); use "
            "/v1/completions, or start the server with --chat_template."
        )
        raise ApiError(400, message, code="no_chat_template")
    if asked.messages[-1].role != "user":
        message = f"The last message is of the role '{asked.messages[-1].role}', not 'user'."
        raise ApiError(400, message, param="messages", code="invalid_conversation")
    messages = [{"role": item.role, "content": item.text()} for item in asked.messages]
    try:
        return encode_prompt(model.template, from_messages(messages), model.tokenizer)
    except DataError as error:
        message = f"This conversation does not fit the chat template: {error}"
        raise ApiError(400, message, param="messages", code="invalid_conversation") from error


def _sampling(asked: GenerationRequest, variant: Variant, max_tokens: int | None) -> SamplingParams:
    if max_tokens is not None and asked.min_tokens > max_tokens:
        message = f"min_tokens is {asked.min_tokens}, but max_tokens is {max_tokens}; lower it."
        raise ApiError(400, message, param="min_tokens", code="invalid_value")
    try:
        return SamplingParams(
            max_new_tokens=max_tokens,
            min_new_tokens=asked.min_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p,
            top_k=max(asked.top_k, 0),
            min_p=asked.min_p,
            repetition_penalty=asked.repetition_penalty,
            presence_penalty=asked.presence_penalty,
            frequency_penalty=asked.frequency_penalty,
            logit_bias=asked.biases(),
            ignore_eos=asked.ignore_eos,
            seed=None if asked.seed is None else asked.seed % 2**64,
            stop=tuple(asked.stops()),
            stop_token_ids=tuple(asked.stop_token_ids),
            logprobs=asked.logprobs_wanted(),
            adapter=variant.adapter,
            prefix=variant.prefix,
        )
    except InferError as error:
        raise refusal(error) from error
