"""Decoding around ids that the model must not see."""

from __future__ import annotations

from llm_data.tokenizer.pieces import decode_runs, longest_first


def test_runs_are_decoded_together() -> None:
    seen: list[list[int]] = []

    def decode(run: list[int]) -> str:
        seen.append(run)
        return "".join(map(chr, run))

    text = decode_runs(
        [97, 98, 1, 99, 500, 100], lambda i: "|" if i == 1 else None, lambda i: i < 200, decode
    )
    assert text == "ab|cd"
    assert seen == [[97, 98], [99, 100]]


def test_longest_first() -> None:
    assert longest_first(["<|a", "<|a|>"]).findall("<|a|><|a") == ["<|a|>", "<|a"]
    assert longest_first([]).search("anything") is None
