"""The JSON of answers and chunks, against the shapes of the OpenAI reference."""

from __future__ import annotations

from llm_serve.answers import ChatAnswer, CompletionAnswer
from llm_serve.generation import Gathered, Piece, Usage

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_a_whole_completion() -> None:
    body = CompletionAnswer("m", 12).whole(
        [Gathered("a", "stop"), Gathered("b", "length")], Usage(3, 4)
    )
    assert body.pop("id").startswith("cmpl-")
    assert body == {
        "object": "text_completion",
        "created": 12,
        "model": "m",
        "choices": [
            {"index": 0, "text": "a", "logprobs": None, "finish_reason": "stop"},
            {"index": 1, "text": "b", "logprobs": None, "finish_reason": "length"},
        ],
        "usage": USAGE,
    }


def test_a_completion_chunk_and_the_counts_at_the_end() -> None:
    answer = CompletionAnswer("m", 12, counts_usage=True)
    assert answer.opening(2) == []
    chunk = answer.chunk(Piece(1, "x", None))
    assert chunk["choices"] == [{"index": 1, "text": "x", "logprobs": None, "finish_reason": None}]
    assert chunk["usage"] is None
    last = answer.last(Usage(3, 4))
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert last["id"] == chunk["id"]
    assert "usage" not in CompletionAnswer("m", 12).chunk(Piece(0, "x", None))


def test_a_whole_chat_answer() -> None:
    body = ChatAnswer("m", 12).whole([Gathered("a", "stop")], Usage(3, 4))
    assert body.pop("id").startswith("chatcmpl-")
    message = {"role": "assistant", "content": "a"}
    assert body == {
        "object": "chat.completion",
        "created": 12,
        "model": "m",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }


def test_chat_chunks_name_the_role_then_the_text_then_the_end() -> None:
    answer = ChatAnswer("m", 12)
    opening = answer.opening(2)
    assert [chunk["choices"][0]["index"] for chunk in opening] == [0, 1]
    assert opening[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert opening[0]["object"] == "chat.completion.chunk"
    assert answer.chunk(Piece(0, "x", None))["choices"][0]["delta"] == {"content": "x"}
    end = answer.chunk(Piece(0, "", "length"))["choices"][0]
    assert (end["delta"], end["finish_reason"]) == ({}, "length")
