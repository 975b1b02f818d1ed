"""The Paddle decoder against every family's golden logits: batched with padding, alone, greedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from llm_convert.model import open_model
from llm_kernels.families import FamilySpec, prefix_positions
from llm_kernels.paddle.cache import KeyValueCache
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))
TOLERANCE = 5e-5
GENERATED = 16


@dataclass
class Case:
    """A family's decoder and its golden arrays."""

    decoder: Decoder
    spec: FamilySpec
    config: Mapping[str, Any]
    golden: Mapping[str, np.ndarray]

    def prompt(self, index: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Tokens of a prompt, positions [2, T + GENERATED] and the length of its prefix."""
        tokens = self.golden[f"prompt_{index}"].ravel()
        count = len(tokens) + GENERATED
        if self.spec.mask != "prefix":
            return tokens, np.stack([np.arange(count)] * 2), 0
        # ids of the mask and start tokens, as fixture.json of chatglm and glm states them
        chatglm = "bos_token_id" in self.config
        start, masks = (250, (247, 246)) if chatglm else (255, (254, 253, 252))
        asked, prefix = prefix_positions(tokens, start_token=start, mask_tokens=masks)
        answer = np.stack([np.zeros(GENERATED, int), np.arange(1, GENERATED + 1)])
        return tokens, np.concatenate([asked, asked[:, -1:] + answer], axis=1), prefix

    def run(
        self,
        tokens: np.ndarray,
        positions: np.ndarray,
        prefix: int = 0,
        cache: KeyValueCache | None = None,
    ) -> np.ndarray:
        """Logits [T, V]."""
        with paddle.no_grad():
            logits: np.ndarray = self.decoder(
                paddle.to_tensor(np.asarray(tokens, np.int64)[None]),
                paddle.to_tensor(positions.astype(np.int64)[None]),
                cache=cache,
                prefix=paddle.to_tensor([prefix]) if prefix else None,
            )[0].numpy()
        return logits


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> Case:
    """One family."""
    model = open_model(GOLDEN / request.param)
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.dense)
    decoder.eval()
    with np.load(GOLDEN / request.param / "golden.npz") as stored:
        return Case(decoder, model.spec, model.config, dict(stored))


@pytest.mark.parametrize("index", [0, 1])
def test_logits_of_a_prompt_alone(case: Case, index: int) -> None:
    tokens, positions, prefix = case.prompt(index)
    logits = case.run(tokens, positions[:, : len(tokens)], prefix)
    np.testing.assert_allclose(logits, case.golden[f"logits_{index}"], atol=TOLERANCE)


def test_logits_of_a_padded_batch(case: Case) -> None:
    tokens = case.golden["input_ids"].astype(np.int64)
    arguments: dict[str, Any] = {}
    if case.spec.mask == "prefix":
        # positions are those that the model's own tokenizer gives to a padded batch
        start = 250 if "bos_token_id" in case.config else 255
        lengths = [case.golden[f"prompt_{row}"].size for row in range(len(tokens))]
        width = tokens.shape[1]
        real = np.arange(width) >= width - np.array(lengths)[:, None]
        positions = case.golden["position_ids"][:, :, :width].astype(np.int64)
        arguments["position_ids"] = paddle.to_tensor(positions)
        arguments["prefix"] = paddle.to_tensor((tokens == start).argmax(axis=1))
    else:
        real = case.golden["attention_mask"].astype(bool)
    with paddle.no_grad():
        logits = case.decoder(
            paddle.to_tensor(tokens),
            attention_mask=paddle.to_tensor(real.astype(np.int64)),
            **arguments,
        ).numpy()
    np.testing.assert_allclose(logits[real], case.golden["logits"][real], atol=TOLERANCE)


@pytest.mark.parametrize("index", [0, 1])
def test_greedy_generation_with_a_cache(case: Case, index: int) -> None:
    tokens, positions, prefix = case.prompt(index)
    cache = KeyValueCache()
    logits = case.run(tokens, positions[:, : len(tokens)], prefix, cache)
    made: list[int] = []
    for place in range(len(tokens), len(tokens) + GENERATED):
        made.append(int(logits[-1].argmax()))
        logits = case.run(np.array(made[-1:]), positions[:, place : place + 1], 0, cache)
    expected = case.golden.get(f"generated_{index}")
    expected = case.golden["generated"][index] if expected is None else expected
    assert made == expected.tolist()
