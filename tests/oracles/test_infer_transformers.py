"""Choosing tokens as transformers does: beam search, and what changes logits before the choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from llm_infer.engine import SamplingParams  # noqa: E402
from llm_infer.engine.sampling import RowState, distribution  # noqa: E402
from llm_infer.engine.sampling.adjustment import adjust  # noqa: E402
from llm_infer.load import Backend, load_engine  # noqa: E402

PROMPTS = [[5, 9, 17, 33], [8, 8, 40, 41, 42, 43, 44]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama whose end token is often likely."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.4,
    )
    model = transformers.LlamaForCausalLM(config)
    target = tmp_path_factory.mktemp("llama")
    model.save_pretrained(target)
    return target


@pytest.mark.parametrize("early_stopping", [True, False, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 1.7])
@pytest.mark.parametrize("num_beams", [2, 4])
def test_beam_search(
    folder: Path, num_beams: int, length_penalty: float, early_stopping: Any
) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    engine = load_engine(folder, backend=Backend(threads=1))
    params = SamplingParams(
        num_beams=num_beams,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
        max_new_tokens=12,
        repetition_penalty=1.1,
    )
    streams = [engine.submit(prompt, params) for prompt in PROMPTS]
    for prompt, stream in zip(PROMPTS, streams, strict=True):
        found = [event.token_id for event in stream]
        expected = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            num_beams=num_beams,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            max_new_tokens=12,
            repetition_penalty=1.1,
            do_sample=False,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert found == expected
    engine.close()


def test_penalties_and_bars() -> None:
    random = np.random.default_rng(0)
    logits = random.standard_normal((1, 97)).astype(np.float32) * 4
    prompt, answer = [4, 5, 6, 7], [8, 5, 9, 9]
    params = SamplingParams(repetition_penalty=1.3, bad_words_ids=((11,), (9, 9, 12)))
    row = RowState(params, prompt, [])
    for token in answer:
        row.accept(token)
    ids = torch.tensor([prompt + answer])
    scores = transformers.RepetitionPenaltyLogitsProcessor(1.3)(ids, torch.tensor(logits))
    barred = transformers.NoBadWordsLogitsProcessor([[11], [9, 9, 12]], eos_token_id=2)
    adjust(logits, [row])
    np.testing.assert_allclose(logits, barred(ids, scores).numpy(), rtol=1e-6)


@pytest.mark.parametrize("top_k", [0, 9])
@pytest.mark.parametrize("top_p", [0.7, 1.0])
@pytest.mark.parametrize("min_p", [0.0, 0.05])
def test_filters(top_k: int, top_p: float, min_p: float) -> None:
    logits = np.random.default_rng(top_k).standard_normal(500).astype(np.float32) * 3
    scores = transformers.TemperatureLogitsWarper(0.8)(None, torch.tensor(logits[None]))
    if top_k:
        scores = transformers.TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = transformers.TopPLogitsWarper(top_p)(None, scores)
    if min_p:
        scores = transformers.MinPLogitsWarper(min_p)(None, scores)
    expected = torch.softmax(scores[0].double(), -1).numpy()
    params = SamplingParams(temperature=0.8, top_k=top_k, top_p=top_p, min_p=min_p)
    candidates, weights = distribution(logits, params)
    found = np.zeros(500)
    found[candidates] = weights / weights.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
