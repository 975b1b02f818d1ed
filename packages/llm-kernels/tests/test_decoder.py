from __future__ import annotations

import multiprocessing
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llm_kernels.decoder import NativeDecoder, StepBatch, Weight
from llm_kernels.decoder_config import unsupported
from llm_kernels.errors import ShapeError, UnsupportedSpecError
from llm_kernels.families import (
    FAMILIES,
    FamilySpec,
    LinearScaling,
    ParameterKey,
    YarnScaling,
)
from llm_kernels.native import runnable_isas
from llm_kernels.reference_decoder import KvCache, forward
from llm_kernels.weights import Int4Weight, Int8Weight

TOKENS = np.array([3, 40, 7, 7, 19, 0, 22, 31, 5, 11, 2, 38, 9])
BLOCKS = [2, 0]
TOLERANCE = 1e-4


def native(model: Any, weights: Mapping[ParameterKey, Weight] | None = None, **options: Any) -> Any:
    options = {"num_blocks": 4, "block_size": 16, "threads": 2} | options
    source = model.parameters if weights is None else weights
    return NativeDecoder(model.spec, model.sizes, source.__getitem__, **options)


def batch(model: Any, begin: int, end: int, prefix: int = 0) -> StepBatch:
    """Tokens [begin, end) of TOKENS as one sequence in BLOCKS."""
    positions = model.positions(len(TOKENS))[:, begin:end].astype(np.int32)
    return StepBatch(
        token_ids=TOKENS[begin:end].astype(np.int32),
        positions=np.ascontiguousarray(positions[0]),
        block_positions=np.ascontiguousarray(positions[1]) if len(positions) == 2 else None,
        query_start=np.array([0, end - begin], np.int32),
        context_length=np.array([end], np.int32),
        block_tables=np.array([BLOCKS], np.int32),
        logits_rows=np.arange(end - begin, dtype=np.int32),
        prefix_length=np.array([prefix], np.int32) if prefix else None,
    )


def expected(model: Any, prefix: int = 0) -> np.ndarray:
    positions = model.positions(len(TOKENS))
    return forward(
        model.spec, model.sizes, model.parameters, TOKENS, positions=positions, prefix=prefix
    )


def spread(logits: np.ndarray) -> float:
    return TOLERANCE * max(1.0, float(np.abs(logits).max()))


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_equals_the_reference(
    random_model: Callable[..., Any], family: str, isa: str
) -> None:
    model = random_model(family, seed=5, **({"embed_dim": 12} if "350" in family else {}))
    if lacking := unsupported(model.spec, model.sizes):
        with pytest.raises(UnsupportedSpecError, match=re.escape(lacking[0])):
            native(model, isa=isa)
        return
    prefix = 6 if model.spec.mask == "prefix" else 0
    decoder = native(model, isa=isa)
    whole = decoder.step(batch(model, 0, len(TOKENS), prefix))
    reference = expected(model, prefix)
    np.testing.assert_allclose(whole, reference, atol=spread(reference))
    chunks = [decoder.step(batch(model, *span, prefix)) for span in ((0, 7), (7, 8), (8, 13))]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


SIZES: dict[str, dict[str, Any]] = {
    "one-kv-head": {"kv_heads": 1},
    "every-head-its-own": {"kv_heads": 4},
    "one-layer-odd-vocabulary": {"layers": 1, "vocab": 67},
    "tied": {"tied": True},
    "window": {"window": 4},
    "window-in-one-layer": {"window": 3, "full_layers": frozenset({0})},
    "projected": {"embed_dim": 10},
    "linear-scaling": {"rope_scaling": LinearScaling(4.0)},
    "rotated-part": {"rotary": 4},
    "capped": {"score_cap": 1.5, "logit_cap": 2.0, "score_scale": 0.5},
    "yarn": {"rope_scaling": YarnScaling(4.0, 16, 32.0, 1.0, 1.2)},
}


@pytest.mark.parametrize("changes", SIZES.values(), ids=SIZES.keys())
def test_sizes(random_model: Callable[..., Any], changes: dict[str, Any]) -> None:
    model = random_model("llama", seed=6, **changes)
    found = native(model).step(batch(model, 0, len(TOKENS)))
    reference = expected(model)
    np.testing.assert_allclose(found, reference, atol=spread(reference))


def quantize(model: Any, make: Callable[[np.ndarray], Weight]) -> dict[ParameterKey, Weight]:
    linear = {"q", "k", "v", "out", "gate", "up", "down", "expert_gate", "expert_up", "expert_down"}
    return {
        key: make(value) if key.slot in linear and key.leaf == "weight" else value
        for key, value in model.parameters.items()
    }


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("family", ["llama", "qwen2", "bloom", "mixtral"])
@pytest.mark.parametrize(
    "make",
    [
        Int8Weight.from_dense,
        lambda dense: Int4Weight.from_dense(dense, 8),
        lambda dense: Int4Weight.from_dense(dense, None, False),
    ],
    ids=["int8", "int4-groups", "int4-zero-points"],
)
def test_quantized_linears(
    random_model: Callable[..., Any], family: str, isa: str, make: Callable[..., Weight]
) -> None:
    model = random_model(family, seed=7, mlp=24, expert_mlp=16, hidden=32)
    weights = quantize(model, make)
    found = native(model, weights, isa=isa).step(batch(model, 0, len(TOKENS)))
    reference = forward(model.spec, model.sizes, weights, TOKENS)
    np.testing.assert_allclose(found, reference, atol=spread(reference))


def test_half_precision_weights_are_widened(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=8)
    halves = {key: value.astype(np.float16) for key, value in model.parameters.items()}
    found = native(model, halves).step(batch(model, 0, 5))
    wide = replace(model, parameters={k: v.astype(np.float32) for k, v in halves.items()})
    np.testing.assert_array_equal(found, native(wide).step(batch(wide, 0, 5)))


def test_only_the_wanted_rows_have_logits(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=9)
    decoder = native(model)
    whole = decoder.step(batch(model, 0, 6))
    some = batch(model, 0, 6)
    some.logits_rows = np.array([5, 1, 5], np.int32)
    np.testing.assert_array_equal(decoder.step(some), whole[[5, 1, 5]])
    some.logits_rows = np.zeros(0, np.int32)
    assert decoder.step(some).shape == (0, model.sizes.vocab)


def test_generation_follows_the_reference_cache(random_model: Callable[..., Any]) -> None:
    model = random_model("qwen3", seed=10)
    decoder, cache = native(model), KvCache()
    for begin, end in ((0, 9), (9, 10), (10, 11), (11, 13)):
        found = decoder.step(batch(model, begin, end))
        reference = forward(
            model.spec, model.sizes, model.parameters, TOKENS[begin:end], cache=cache
        )
        np.testing.assert_allclose(found, reference, atol=spread(reference))


def test_what_it_says_of_itself(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    decoder = native(model, num_blocks=3, threads=1, isa="scalar")
    each = NativeDecoder.cache_bytes_per_block(model.spec, model.sizes, 16)
    assert each == 2 * 2 * 2 * 8 * 16 * 4
    assert decoder.cache_bytes == 3 * each
    assert (decoder.isa, decoder.threads) == ("scalar", 1)
    floats = sum(value.size for value in model.parameters.values())
    assert decoder.weight_bytes >= 4 * floats


BAD_STEPS: dict[str, tuple[dict[str, Any], str]] = {
    "dtype": ({"token_ids": np.zeros(3, np.int64)}, "token_ids has dtype int64; int32 is needed"),
    "shape": ({"positions": np.zeros(2, np.int32)}, r"positions has shape \[2\]; \[3\] is needed"),
    "token": ({"token_ids": np.array([0, 41, 0], np.int32)}, r"token_ids\[1\] is 41; .* 0 to 40"),
    "negative": ({"token_ids": np.array([0, 1, -1], np.int32)}, r"token_ids\[2\] is -1"),
    "position": ({"positions": np.array([-4, 0, 0], np.int32)}, r"positions\[0\] is -4"),
    "block": ({"block_tables": np.array([[4]], np.int32)}, "names block 4; .* 0 to 3"),
    "length": ({"context_length": np.array([2], np.int32)}, "less than the 3 rows"),
    "room": ({"context_length": np.array([33], np.int32)}, "needs 3 blocks"),
    "rows": ({"logits_rows": np.array([3], np.int32)}, r"logits_rows\[0\] is 3"),
    "channels": ({"block_positions": np.zeros(3, np.int32)}, "leave block_positions out"),
    "empty": ({"query_start": np.array([0], np.int32)}, "context_length has shape"),
}


@pytest.mark.parametrize(("change", "message"), BAD_STEPS.values(), ids=BAD_STEPS.keys())
def test_a_step_that_does_not_fit_is_refused_and_changes_nothing(
    random_model: Callable[..., Any], change: dict[str, Any], message: str
) -> None:
    model = random_model("llama", seed=11)
    decoder = native(model)
    before = decoder.step(batch(model, 0, 5))
    with pytest.raises(ShapeError, match=message):
        decoder.step(replace(batch(model, 0, 3), **change))
    after = decoder.step(batch(model, 5, 8))
    whole = native(model).step(batch(model, 0, 8))
    np.testing.assert_array_equal(np.concatenate([before, after]), whole)


def test_too_many_tokens_positions_and_contexts_are_refused(
    random_model: Callable[..., Any],
) -> None:
    model = random_model("llama")
    with pytest.raises(ValueError, match=r"A step of 9 tokens .* 1 to 8"):
        native(model, max_batch_tokens=8).step(batch(model, 0, 9))
    learned = random_model("opt")
    step = batch(learned, 0, 2)
    step.positions = np.array([0, 64], np.int32)
    with pytest.raises(ValueError, match=r"positions\[1\] is 64; it must be 0 to 63"):
        native(learned).step(step)


def test_a_second_position_is_asked_for(random_model: Callable[..., Any]) -> None:
    model = random_model("chatglm")
    step = batch(model, 0, 3)
    step.block_positions = None
    with pytest.raises(ValueError, match="pass block_positions"):
        native(model).step(step)


def test_block_sizes_that_the_kernels_cannot_take_are_refused(
    random_model: Callable[..., Any],
) -> None:
    with pytest.raises(ValueError, match=r"Blocks of 24 tokens .* multiples of 16"):
        native(random_model("llama"), block_size=24)


def test_a_parameter_of_another_shape_is_refused(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    wrong = model.parameters | {ParameterKey("up", 1): np.zeros((20, 25), np.float32)}
    with pytest.raises(ShapeError, match=r"layers\.1\.up\.weight has shape \(20, 25\)"):
        native(model, wrong)


def test_integers_where_floats_are_needed_are_refused(random_model: Callable[..., Any]) -> None:
    model = random_model("gpt2")
    embed = ParameterKey("embed")
    quantized = model.parameters | {embed: Int8Weight.from_dense(model.parameters[embed])}
    with pytest.raises(UnsupportedSpecError, match=r"embed\.weight is quantized"):
        native(model, quantized)


def test_threads_of_the_caller_may_step_at_once(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=12)
    decoder = native(model)
    wanted = decoder.step(batch(model, 0, 13))
    results: list[np.ndarray] = []

    def run() -> None:
        results.extend(decoder.step(batch(model, 0, 13)) for _ in range(20))

    callers = [threading.Thread(target=run) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 80
    assert all(np.array_equal(result, wanted) for result in results)


def test_a_step_releases_the_gil(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", hidden=512, mlp=2048, layers=8)
    decoder = native(model, threads=1)
    step = batch(model, 0, 13)
    ticks = 0
    running = True

    def count() -> None:
        nonlocal ticks
        while running:
            ticks += 1
            time.sleep(0)

    sys.setswitchinterval(10)  # only a released GIL lets the counter run
    try:
        counter = threading.Thread(target=count)
        counter.start()
        before = ticks
        decoder.step(step)
        after = ticks
    finally:
        sys.setswitchinterval(0.005)
        running = False
        counter.join()
    assert after - before > 1


def _step_in_child(decoder: NativeDecoder, step: StepBatch, queue: Any) -> None:
    queue.put(decoder.step(step))


def test_a_forked_child_can_step(random_model: Callable[..., Any]) -> None:
    model = random_model("llama", seed=13)
    decoder = native(model)
    wanted = decoder.step(batch(model, 0, 13))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_step_in_child, args=(decoder, batch(model, 0, 13), queue))
    child.start()
    np.testing.assert_array_equal(queue.get(timeout=30), wanted)
    child.join(30)
    assert child.exitcode == 0


def test_what_the_spec_needs_and_the_decoder_lacks_is_listed(
    random_model: Callable[..., Any],
) -> None:
    model = random_model("llama")
    mlp = replace(model.spec.mlp, activation="mish")
    spec: FamilySpec = replace(model.spec, norm=replace(model.spec.norm, kind="group"), mlp=mlp)
    with pytest.raises(
        UnsupportedSpecError,
        match=r"norm\.kind = 'group'; mlp\.activation = 'mish'\. .* --inference_model false",
    ):
        native(replace(model, spec=spec))
