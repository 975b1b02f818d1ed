"""What happens between a request's JSON and its answer: read, check, tokenize, generate, shape."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from llm_data.chat_template import encode_prompt, from_messages
from llm_data.errors import DataError
from llm_infer.engine.params import SamplingParams
from llm_serve.answers import Answer, ChatAnswer, CompletionAnswer
from llm_serve.errors import ApiError
from llm_serve.model import ServedModel
from llm_serve.schema import (
    ChatRequest,
    CompletionRequest,
    GenerationRequest,
    parse,
)
from llm_serve.state import ServerState
from llm_serve.stream import ClientGoneError, EventStream, unless_gone


async def completions(state: ServerState, request: Request) -> Response:
    """Answer `POST /v1/completions`."""
    asked = parse(CompletionRequest, await _json(state, request))
    prompts = asked.prompts()
    model = _model(state, asked)
    ids = await asyncio.to_thread(_token_ids, model, prompts)
    answer = CompletionAnswer(state.name, int(time.time()), asked.include_usage())
    return await _answer(state, request, model, asked, ids, asked.max_tokens, answer)


async def chat_completions(state: ServerState, request: Request) -> Response:
    """Answer `POST /v1/chat/completions`."""
    asked = parse(ChatRequest, await _json(state, request))
    model = _model(state, asked)
    ids = await asyncio.to_thread(_conversation_ids, model, asked)
    limit = asked.max_completion_tokens or asked.max_tokens
    answer = ChatAnswer(state.name, int(time.time()), asked.include_usage())
    return await _answer(state, request, model, asked, [ids], limit, answer)


async def _answer(
    state: ServerState,
    request: Request,
    model: ServedModel,
    asked: GenerationRequest,
    prompts: list[list[int]],
    max_tokens: int | None,
    answer: Answer,
) -> Response:
    work = _Work(state, model, asked, prompts, _sampling(asked, max_tokens), answer)
    if asked.stream:
        return EventStream(work.frames(), state.limits.heartbeat)
    return JSONResponse(await unless_gone(request, work.whole()))


class _Work:
    """One checked request, ready to run as a stream or in one piece."""

    def __init__(
        self,
        state: ServerState,
        model: ServedModel,
        asked: GenerationRequest,
        prompts: list[list[int]],
        sampling: SamplingParams,
        answer: Answer,
    ) -> None:
        self._generation = state.generation(model, prompts, sampling, asked.n)
        self._choices = len(prompts) * asked.n
        self._usage_at_end = asked.include_usage()
        self._answer = answer

    async def frames(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the chunks of a stream."""
        async with self._generation as generation:
            for chunk in self._answer.opening(self._choices):
                yield chunk
            async for piece in generation:
                yield self._answer.chunk(piece)
            if self._usage_at_end:
                yield self._answer.last(generation.usage)

    async def whole(self) -> dict[str, Any]:
        """Return the answer in one piece."""
        texts = [""] * self._choices
        finishes: list[str | None] = [None] * self._choices
        async with self._generation as generation:
            async for piece in generation:
                texts[piece.index] += piece.text
                finishes[piece.index] = piece.finish
            return self._answer.whole(texts, finishes, generation.usage)


async def _json(state: ServerState, request: Request) -> object:
    limit = state.limits.max_body_bytes
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                message = f"The body is larger than {limit} bytes, the most this server reads."
                raise ApiError(413, message, code="body_too_large")
    except ClientDisconnect:
        raise ClientGoneError from None
    try:
        return json.loads(body)
    except ValueError as error:
        message = f"The body is not JSON: {error}."
        raise ApiError(400, message, code="invalid_json") from None


def _model(state: ServerState, asked: GenerationRequest) -> ServedModel:
    if asked.model is not None:
        state.check_name(asked.model)
    return state.model()


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


def _sampling(asked: GenerationRequest, max_tokens: int | None) -> SamplingParams:
    return SamplingParams(
        max_new_tokens=max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        repetition_penalty=asked.repetition_penalty,
        ignore_eos=asked.ignore_eos,
        seed=asked.seed,
        stop=tuple(asked.stops()),
    )
