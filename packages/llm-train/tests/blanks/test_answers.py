"""Questions and answers as blanks, against the originals' logits, positions and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from llm_train.blanks.answers import AnswerLayout, joined
from llm_train.blanks.fields import filled
from llm_train.blanks.tokens import BlankTokens
from llm_train.loop.batches import model_inputs
from llm_train.loop.data import stacked
from llm_train.model import build_model
from llm_train.sft.generation import generate, question_and_answer

TOKENS = {
    "chatglm": BlankTokens(250, (247, 246)),
    # The fixture's prompts hold one mask token each, of any kind.
    "glm": BlankTokens(255, (254, 253, 252)),
}
PROMPTS = [("chatglm", 0), ("chatglm", 1), ("chatglm", 2), ("glm", 0), ("glm", 1)]


def fixture(golden: Path, family: str, prompt: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Golden arrays, a prompt and the 16 tokens that the original wrote after it."""
    with np.load(golden / family / "golden.npz") as file:
        arrays = dict(file)
    name = f"generated_{prompt}"
    answer = arrays[name] if name in arrays else arrays["generated"][prompt]
    return arrays, arrays[f"prompt_{prompt}"], answer


def sample_of(family: str, prompt: np.ndarray, answer: np.ndarray) -> dict[str, np.ndarray]:
    """The blank of a prompt and its answer, from a shifted sample."""
    ids = np.concatenate([prompt, answer])
    labels = np.where(np.arange(len(ids)) < len(prompt), -100, ids)[1:]
    return AnswerLayout(TOKENS[family]).sample({"input_ids": ids[:-1], "labels": labels})


@pytest.mark.parametrize(("family", "prompt"), PROMPTS)
def test_logits_are_those_of_the_original(golden: Path, family: str, prompt: int) -> None:
    arrays, asked, answer = fixture(golden, family, prompt)
    sample = sample_of(family, asked, answer)
    other = sample_of(family, *fixture(golden, family, 1)[1:])
    model = build_model(golden / family)
    collate = filled(_padded)
    with paddle.no_grad():
        logits = model(**model_inputs(collate([sample, other])))[0].numpy()
        packed = model(**model_inputs(stacked([joined([other, sample])])))[0].numpy()
    count = len(asked)
    np.testing.assert_allclose(logits[:count], arrays[f"logits_{prompt}"], rtol=0, atol=2e-4)
    # The start token and every token of the answer say the next one.
    learnt = sample["labels"] != -100
    assert learnt.sum() == len(answer)
    said = logits[: learnt.size].argmax(-1)[learnt]
    assert said.tolist() == answer.tolist() == sample["labels"][learnt].tolist()
    whole = len(sample["input_ids"])
    np.testing.assert_allclose(packed[-whole:], logits[:whole], rtol=0, atol=2e-5)


def _padded(samples: Any) -> dict[str, np.ndarray]:
    from llm_data.sft import collate

    return collate(samples, pad_token_id=3)


@pytest.mark.parametrize("prompt", [0, 1])
def test_positions_and_mask_are_glms_own(golden: Path, prompt: int) -> None:
    arrays, asked, answer = fixture(golden, "glm", prompt)
    sample = sample_of("glm", asked, answer)
    count = len(sample["input_ids"])
    wanted = arrays[f"position_ids_{prompt}"][:, :count]
    got = np.stack([sample["position_ids"], sample["block_position_ids"]])
    np.testing.assert_array_equal(got, wanted)
    if prompt == 0:
        mask = arrays["generation_attention_mask"][0, 0, :count, :count]
        made = model_inputs(stacked([sample]))["attention_mask"][0, 0].numpy()
        np.testing.assert_array_equal(made, mask.astype(bool))


def test_positions_are_those_of_paddlenlps_chatglm(golden: Path) -> None:
    from paddlenlp.transformers.chatglm.modeling import ChatGLMModel

    _, asked, answer = fixture(golden, "chatglm", 0)
    sample = sample_of("chatglm", asked, answer)
    ids = paddle.to_tensor(sample["input_ids"][None])
    config = type("Config", (), {"bos_token_id": 250, "position_encoding_2d": True})()
    bare = type("Bare", (), {"config": config, "position_encoding_2d": True})()
    place = asked.tolist().index(247)
    wanted = ChatGLMModel.get_position_ids(bare, ids, paddle.to_tensor([place]), [True])
    got = model_inputs(stacked([sample]))
    np.testing.assert_array_equal(got["position_ids"].numpy(), wanted.numpy())


@pytest.mark.parametrize("family", ["chatglm", "glm"])
def test_evaluation_writes_what_the_original_writes(golden: Path, family: str) -> None:
    decoder = build_model(golden / family).decoder
    prompts, answers = [], []
    for prompt in range(2):
        _, asked, answer = fixture(golden, family, prompt)
        sample = sample_of(family, asked, answer)
        assert question_and_answer(sample) == (asked.tolist(), answer.tolist())
        prompts.append(asked.tolist())
        answers.append(answer.tolist())
    assert generate(decoder, prompts, 16, None, TOKENS[family]) == answers


def test_missing_tokens_are_put_before_what_closes_a_question() -> None:
    layout = AnswerLayout(BlankTokens(90, (91, 92)), closing=(5,))
    assert layout.question([1, 2, 5]) == [1, 2, 91, 5, 90]
    assert layout.question([1, 92, 5]) == [1, 92, 5, 90]
    assert layout.question([1, 2]) == [1, 2, 91, 90]
    assert layout.question([1, 90]) == [1, 91, 90]
    assert layout.question([1, 91, 90]) == [1, 91, 90]


def test_the_last_answer_alone_is_learnt() -> None:
    layout = AnswerLayout(BlankTokens(90, (91,), 93), eos=2)
    ids, labels = [1, 3, 4, 5, 6], [-100, 4, -100, 6, 2]
    sample = layout.sample({"input_ids": np.array(ids), "labels": np.array(labels)})
    assert sample["input_ids"].tolist() == [1, 3, 4, 5, 91, 90, 6]
    assert sample["labels"].tolist() == [-100, -100, -100, -100, -100, 6, 93]
    assert sample["context"].tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_a_sample_without_an_answer_is_all_question() -> None:
    layout = AnswerLayout(BlankTokens(90, (91,)))
    sample = layout.sample({"input_ids": np.array([1, 2]), "labels": np.array([-100, -100])})
    assert sample["input_ids"].tolist() == [1, 2, 91, 90]
    assert sample["labels"].tolist() == [-100] * 4
