"""Evaluation by written answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from llm_train.model import build_model
from llm_train.sft.generation import generate, question_and_answer, scores


def test_a_sample_is_its_question_and_its_last_answer() -> None:
    sample = {"input_ids": [5, 6, 7, 8, 9, 4], "labels": [-100, 7, 8, -100, 4, 2]}
    assert question_and_answer(sample) == ([5, 6, 7, 8, 9], [4, 2])
    assert question_and_answer({"input_ids": [1, 2], "labels": [2, 3]}) == ([1], [2, 3])
    assert question_and_answer({"input_ids": [1, 2], "labels": [-100, -100]}) == ([1, 2], [])


def test_answers_in_a_batch_are_those_of_each_question_alone(golden: Path) -> None:
    decoder = build_model(golden / "llama_v2_gqa").decoder
    prompts = [[5, 9, 200], [17], [3, 3, 3, 3, 60]]
    together = generate(decoder, prompts, 6, None)
    assert [len(answer) for answer in together] == [6, 6, 6]
    for prompt, answer in zip(prompts, together, strict=True):
        assert generate(decoder, [prompt], 6, None) == [answer]
        ids = list(prompt)
        for token in answer:
            with paddle.no_grad():
                logits = decoder(paddle.to_tensor(np.array([ids])))
            assert int(logits[0, -1].argmax()) == token
            ids.append(token)
    stop = together[0][2]
    first = together[0].index(stop)
    assert generate(decoder, prompts[:1], 6, stop) == [together[0][:first]]


def test_equal_texts_score_one_and_strangers_zero() -> None:
    same = scores(["the cat sat"], ["the cat sat"])
    assert all(value == pytest.approx(1.0) for value in same.values())
    other = scores(["xxxxxx", ""], ["aaaaaa", "b"])
    assert all(value == pytest.approx(0.0, abs=1e-6) for value in other.values())
    assert set(scores(["", ""], ["a", "b"]).values()) == {0.0}
    assert set(same) == {"eval_bleu4", "eval_rouge1", "eval_rouge2", "eval_rougel"}
