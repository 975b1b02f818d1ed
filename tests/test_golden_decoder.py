"""Every golden checkpoint, read by llm-convert's tables and run by llm-kernels' NumPy decoder.

The other side is the original implementations' logits and greedy tokens (tests/golden/README.md).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_convert.layout import Weight, layout_of_files
from llm_kernels.families import (
    FamilySpec,
    ParameterKey,
    Sizes,
    detect,
    parameters,
    prefix_positions,
    read_sizes,
)
from llm_kernels.reference_decoder import KvCache, forward

GOLDEN = Path(__file__).resolve().parent / "golden"
FIXTURES = sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))
TOLERANCE = 1e-4
# GLM's start and mask tokens are its tokenizer's, and the fixture's note states them.
GLM_TOKENS = (255, (252, 253, 254))


@dataclass(frozen=True)
class Fixture:
    spec: FamilySpec
    sizes: Sizes
    weights: dict[ParameterKey, Weight]
    golden: dict[str, np.ndarray]
    start_token: int
    mask_tokens: tuple[int, ...]

    @property
    def prompts(self) -> list[np.ndarray]:
        return [self.golden[f"prompt_{i}"] for i in range(len(self.golden["generated"]))]

    def generated(self, number: int) -> np.ndarray:
        """Greedy tokens of one prompt, run alone."""
        alone = self.golden.get(f"generated_{number}")
        return self.golden["generated"][number] if alone is None else alone

    def placed(self, prompt: np.ndarray, extra: int = 0) -> dict[str, Any]:
        """Positions and prefix of a prompt with `extra` generated tokens, as the model wants."""
        if self.spec.mask == "causal":
            return {}
        positions, prefix = prefix_positions(
            prompt, start_token=self.start_token, mask_tokens=self.mask_tokens
        )
        first = np.full(extra, positions[0, -1])
        second = positions[1, -1] + 1 + np.arange(extra)
        answer = np.stack([first, second])
        return {"positions": np.concatenate([positions, answer], axis=1), "prefix": prefix}

    def logits(self, tokens: np.ndarray, **placed: Any) -> np.ndarray:
        return forward(self.spec, self.sizes, self.weights, tokens, **placed)


@cache
def fixture(name: str) -> Fixture:
    config = json.loads((GOLDEN / name / "config.json").read_text())
    spec = detect(config)
    sizes = read_sizes(spec, config)
    tensors = load_file(GOLDEN / name / "model.safetensors")
    layout = layout_of_files(spec, sizes, {key: value.shape for key, value in tensors.items()})
    weights = {key: layout.decode(key, tensors) for key in parameters(spec, sizes)}
    start, masks = GLM_TOKENS
    if "gmask_token_id" in config:
        start, masks = config["bos_token_id"], (config["gmask_token_id"], config["mask_token_id"])
    golden = dict(np.load(GOLDEN / name / "golden.npz"))
    return Fixture(spec, sizes, weights, golden, start, masks)


def test_there_are_fixtures() -> None:
    assert len(FIXTURES) >= 19


@pytest.mark.parametrize("name", FIXTURES)
def test_logits_of_each_prompt(name: str) -> None:
    case = fixture(name)
    for number, prompt in enumerate(case.prompts):
        logits = case.logits(prompt, **case.placed(prompt))
        difference = np.abs(logits - case.golden[f"logits_{number}"]).max()
        assert difference < TOLERANCE, f"prompt {number}: {difference}"


@pytest.mark.parametrize("name", FIXTURES)
def test_greedy_tokens_in_one_pass(name: str) -> None:
    case = fixture(name)
    for number, prompt in enumerate(case.prompts):
        expected = case.generated(number)
        tokens = np.concatenate([prompt, expected[:-1]])
        logits = case.logits(tokens, **case.placed(prompt, len(expected) - 1))
        found = logits[len(prompt) - 1 :].argmax(-1)
        assert found.tolist() == expected.tolist(), f"prompt {number}"


@pytest.mark.parametrize("name", FIXTURES)
def test_greedy_tokens_with_a_cache(name: str) -> None:
    case = fixture(name)
    for number, prompt in enumerate(case.prompts):
        expected = case.generated(number)
        placed = case.placed(prompt, len(expected))
        rows = placed.get("positions", np.arange(len(prompt) + len(expected))[None])
        store = KvCache()
        at = len(prompt)
        logits = case.logits(
            prompt, positions=rows[:, :at], prefix=placed.get("prefix", 0), cache=store
        )
        found = [int(logits[-1].argmax())]
        while len(found) < len(expected):
            logits = case.logits(np.array(found[-1:]), positions=rows[:, at : at + 1], cache=store)
            found.append(int(logits[-1].argmax()))
            at += 1
        assert found == expected.tolist(), f"prompt {number}"


def test_gen_logits_where_every_prompt_ran_alone() -> None:
    case = fixture("llama_v2_gqa")
    for number, prompt in enumerate(case.prompts):
        expected = case.golden["gen_logits"][number]
        tokens = np.concatenate([prompt, case.generated(number)[:-1]])
        difference = np.abs(case.logits(tokens)[len(prompt) - 1 :] - expected).max()
        assert difference < TOLERANCE
