"""Packed rows cut between their samples: the same losses from fewer pairs of tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.packing import join_samples
from llm_data.sft import collate
from llm_train.blanks.answers import AnswerLayout, joined
from llm_train.blanks.fields import filled
from llm_train.blanks.tokens import BlankTokens
from llm_train.loop.batches import real_tokens
from llm_train.loop.compute import Whole, make_computation
from llm_train.loop.data import Batch
from llm_train.loop.shorter_rows import pieces_of, rearrangement, shorter_rows
from llm_train.model import build_model

SIZES = [[40, 9, 33, 21, 60], [13, 50, 28]]


def pairs(rows: int, tokens: int) -> float:
    return rows * tokens * (30.0 + tokens)


def packed(vocab: int, tokens: BlankTokens | None = None) -> Batch:
    """Two rows of samples, the second half filling, with random tokens."""
    rng = np.random.default_rng()
    rows = []
    for sizes in SIZES:
        samples = []
        for size in sizes:
            ids = rng.integers(0, vocab - 2, size + 1)
            labels = np.where(np.arange(size) < size // 2, -100, ids[1:])
            sample = {"input_ids": ids[:-1], "labels": labels}
            samples.append(AnswerLayout(tokens).sample(sample) if tokens else sample)
        rows.append(joined(samples) if tokens else join_samples(samples))
    fill = filled(lambda part: collate(part, pad_token_id=0, pad_to=256))
    return fill(rows) if tokens else collate(rows, pad_token_id=0, pad_to=256)


def held(batch: Batch) -> list[tuple[tuple[int, ...], ...]]:
    """The samples of a batch, whatever their order."""
    names = sorted(set(batch) - {"attention_mask", "segment_ids"})
    if "segment_ids" not in batch:
        batch = {**batch, "segment_ids": batch["attention_mask"]}
    return sorted(
        tuple(tuple(batch[name][row, begin:end].tolist()) for name in names)
        for row, begin, end in pieces_of(batch)
    )


@pytest.mark.parametrize("linear", [0.0, 30.0, 120.0])
def test_no_sample_is_lost_or_cut(linear: float) -> None:
    before = packed(90)
    after = dict(shorter_rows(before, lambda rows, tokens: rows * tokens * (linear + tokens)))
    assert held(after) == held(before)
    assert real_tokens(after) == real_tokens(before)
    rows, tokens = after["input_ids"].shape
    assert rows * tokens * (linear + tokens) < 2 * 256 * (linear + 256)
    assert tokens % 16 == 0
    assert ("segment_ids" in after) == (rows < 8)
    filling = after["attention_mask"] == 0
    assert (after["labels"][filling] == -100).all()


def test_rows_stay_where_shorter_ones_cost_more() -> None:
    before = packed(90)
    assert shorter_rows(before, lambda rows, _: float(rows)) is before
    alone = {name: before[name] for name in ("input_ids", "labels")}
    assert shorter_rows(alone, pairs) is alone


@pytest.mark.parametrize("family", ["llama_v2_gqa", "bloom", "chatglm", "glm"])
def test_losses_and_gradients_are_those_of_the_packed_rows(golden: Path, family: str) -> None:
    blanks = BlankTokens(255, (254,)) if family in ("chatglm", "glm") else None
    batch = packed(256, blanks)
    found = []
    for arranged in (True, False):
        model = build_model(golden / family)
        computation = make_computation(model, None)
        assert isinstance(computation, Whole)
        computation._arrange = (lambda b: shorter_rows(b, pairs)) if arranged else (lambda b: b)
        loss = computation.train([batch], 100, lambda: None)
        held_out = computation.look([batch])
        gradients = [p.grad.numpy() for p in model.parameters() if p.grad is not None]
        found.append((loss, held_out.loss, held_out.right, gradients))
    (loss, held_out, right, gradients), wanted = found
    assert loss == pytest.approx(wanted[0], rel=1e-5)
    assert held_out == pytest.approx(wanted[1], rel=1e-5)
    assert right == wanted[2]
    for one, other in zip(gradients, wanted[3], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * abs(other).max() + 1e-7)


def test_narrow_models_gain_and_wide_ones_do_not(golden: Path) -> None:
    batch = packed(256)
    arrange = rearrangement(build_model(golden / "llama_v2_gqa"))
    assert arrange(batch)["input_ids"].shape[1] < 256
    assert rearrangement(object())(batch) is batch  # type: ignore[arg-type]
