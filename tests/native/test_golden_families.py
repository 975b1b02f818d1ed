"""The native decoder against every family's golden logits: at once, in chunks, batched, greedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.model import open_model
from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.decoder_config import unsupported
from llm_kernels.families import FamilySpec, prefix_positions
from llm_kernels.native import runnable_isas

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))
TOLERANCE = 5e-5
BLOCKS_EACH = 4
GENERATED = 16


@dataclass
class Sequence:
    """Tokens of one sequence, its blocks, and how many of its tokens the cache holds."""

    tokens: list[int]
    positions: np.ndarray  # [2, any], for a prompt and what is generated after it
    prefix: int
    blocks: list[int]
    rope_length: int  # of its prompt, in every step of it
    done: int = 0


def sequence(
    spec: FamilySpec, config: Mapping[str, Any], prompt: np.ndarray, slot: int
) -> Sequence:
    count = len(prompt) + GENERATED
    positions, prefix = np.stack([np.arange(count)] * 2), 0
    if spec.mask == "prefix":
        # ids of the mask and start tokens, as fixture.json of chatglm and glm states them
        start, masks = (250, (247, 246)) if "bos_token_id" in config else (255, (254, 253, 252))
        prompt_positions, prefix = prefix_positions(prompt, start_token=start, mask_tokens=masks)
        last = prompt_positions[:, -1:]
        answer = np.stack([np.zeros(GENERATED, int), np.arange(1, GENERATED + 1)])
        positions = np.concatenate([prompt_positions, last + answer], axis=1)
    blocks = list(range(slot * BLOCKS_EACH, (slot + 1) * BLOCKS_EACH))
    tokens = [int(token) for token in prompt]
    return Sequence(tokens, positions, prefix, blocks[::-1], len(tokens))


def step(decoder: NativeDecoder, spec: FamilySpec, *work: tuple[Sequence, int]) -> list[np.ndarray]:
    """Run the next `count` tokens of every sequence in one step; logits of each one's rows."""
    spans = [(one, range(one.done, one.done + count)) for one, count in work]
    rows = np.cumsum([0, *(len(span) for _, span in spans)])
    positions = np.concatenate([one.positions[:, span] for one, span in spans], axis=1)
    two = spec.mask == "prefix"
    logits = decoder.step(
        StepBatch(
            token_ids=np.array([one.tokens[i] for one, span in spans for i in span], np.int32),
            positions=positions[0].astype(np.int32),
            block_positions=positions[1].astype(np.int32) if two else None,
            query_start=rows.astype(np.int32),
            context_length=np.array([span.stop for _, span in spans], np.int32),
            prefix_length=np.array([one.prefix for one, _ in spans], np.int32) if two else None,
            block_tables=np.array([one.blocks for one, _ in spans], np.int32),
            rope_length=np.array([one.rope_length for one, _ in spans], np.int32),
            logits_rows=np.arange(rows[-1], dtype=np.int32),
        )
    )
    for one, span in spans:
        one.done = span.stop
    return np.split(logits, rows[1:-1])


@dataclass
class Case:
    """One family on one instruction set."""

    decoder: NativeDecoder
    spec: FamilySpec
    config: Mapping[str, Any]
    golden: Mapping[str, np.ndarray]

    def prompt(self, index: int, slot: int) -> Sequence:
        return sequence(self.spec, self.config, self.golden[f"prompt_{index}"], slot)


@pytest.fixture(
    scope="module", params=[(f, isa) for f in FAMILIES for isa in runnable_isas()], ids=str
)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    family, isa = request.param
    model = open_model(GOLDEN / family)
    if lacking := unsupported(model.spec, model.sizes):
        pytest.skip(f"the native decoder lacks {'; '.join(lacking)}")
    decoder = NativeDecoder(
        model.spec, model.sizes, model.weight, num_blocks=12, block_size=16, threads=2, isa=isa
    )
    with np.load(GOLDEN / family / "golden.npz") as golden:
        yield Case(decoder, model.spec, model.config, dict(golden))


def test_a_prompt_at_once(case: Case) -> None:
    prompt = case.prompt(0, 0)
    (logits,) = step(case.decoder, case.spec, (prompt, len(prompt.tokens)))
    np.testing.assert_allclose(logits, case.golden["logits_0"], atol=TOLERANCE)


def test_two_prompts_in_one_step_change_nothing(case: Case) -> None:
    alone, first, second = case.prompt(0, 0), case.prompt(0, 1), case.prompt(1, 2)
    (expected,) = step(case.decoder, case.spec, (alone, len(alone.tokens)))
    both = step(case.decoder, case.spec, (second, len(second.tokens)), (first, len(first.tokens)))
    np.testing.assert_allclose(both[0], case.golden["logits_1"], atol=TOLERANCE)
    np.testing.assert_array_equal(both[1], expected)


def test_chunks_change_nothing(case: Case) -> None:
    whole, chunked = case.prompt(1, 0), case.prompt(1, 1)
    count = len(whole.tokens)
    (expected,) = step(case.decoder, case.spec, (whole, count))
    first = max(chunked.prefix, count // 2)
    chunks = [first, 1, count - first - 1] if count - first > 1 else [first, count - first]
    logits = [step(case.decoder, case.spec, (chunked, chunk))[0] for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate(logits), expected)


def test_greedy_generation_beside_another_sequence(case: Case) -> None:
    wanted = case.golden["generated_0" if "generated_0" in case.golden else "generated"]
    one, other = case.prompt(0, 0), case.prompt(1, 1)
    logits, _ = step(
        case.decoder, case.spec, (one, len(one.tokens)), (other, len(other.tokens) - 1)
    )
    for _ in range(GENERATED):
        one.tokens.append(int(logits[-1].argmax()))
        companions = [(other, 1)] if other.done < len(other.tokens) else []
        logits = step(case.decoder, case.spec, (one, 1), *companions)[0]
    assert one.tokens[-GENERATED:] == wanted.reshape(-1, GENERATED)[0].tolist()


def test_longrope_in_chunks_needs_the_length_that_chooses_its_factors() -> None:
    """By the tokens so far, the first chunk would be turned by the short factors."""
    model = open_model(GOLDEN / "phi3_long")
    decoder = NativeDecoder(model.spec, model.sizes, model.weight, num_blocks=8, block_size=16)
    with np.load(GOLDEN / "phi3_long" / "golden.npz") as golden:
        prompt, expected = golden["prompt_0"], golden["logits_0"]
    right, wrong = (sequence(model.spec, model.config, prompt, slot) for slot in (0, 1))
    wrong.rope_length = 5
    for one, close in ((right, True), (wrong, False)):
        first, second = (step(decoder, model.spec, (one, count))[0] for count in (5, 14))
        off = np.abs(np.concatenate([first, second]) - expected).max()
        assert (off < TOLERANCE) == close
