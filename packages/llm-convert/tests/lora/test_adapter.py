"""Folding an adapter into a model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
import pytest

from llm_convert.errors import AdapterError, ConvertError
from llm_convert.layout import Layout
from llm_convert.lora import LoraAdapter, merged
from llm_convert.model import open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight

KEY = ParameterKey("q", 0)
RNG = np.random.default_rng(8)
A = RNG.normal(size=(64, 3)).astype(np.float32)
B = RNG.normal(size=(3, 64)).astype(np.float32)
DELTA = 0.5 * (A.astype(np.float64) @ B).T


def adapter(**changes: object) -> LoraAdapter:
    return LoraAdapter(
        **{"rank": 3, "alpha": 1.5, "scaling": 0.5, "pairs": {KEY: (A, B)}} | changes
    )  # type: ignore[arg-type]


def test_the_delta_is_out_by_in(golden: Path) -> None:
    np.testing.assert_allclose(adapter().delta(KEY), DELTA, rtol=1e-5, atol=1e-6)
    model = open_model(golden / "llama_v2_gqa")
    np.testing.assert_allclose(
        merged(model, adapter())(KEY), model.dense(KEY) + DELTA, rtol=1e-5, atol=1e-5
    )


def test_a_half_precision_base_is_rounded_once(golden: Path, tmp_path: Path) -> None:
    source = open_model(golden / "llama_v2_gqa")
    save_model(
        tmp_path,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=source.weight,
        naming="hf",
        dtype="bfloat16",
    )
    model = open_model(tmp_path)
    weight = merged(model, adapter())(KEY)
    assert weight.dtype == ml_dtypes.bfloat16
    exact = model.dense(KEY, np.float64) + DELTA
    assert np.abs(weight.astype(np.float64) / exact - 1).max() < 2**-8


@pytest.mark.parametrize("naming", ["hf", "paddlenlp"])
def test_a_wider_type_keeps_more_of_the_adapter(golden: Path, tmp_path: Path, naming: str) -> None:
    source = open_model(golden / "llama_v2_gqa")
    save_model(
        tmp_path,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=source.weight,
        naming=naming,  # type: ignore[arg-type]
        dtype="bfloat16",
    )
    model = open_model(tmp_path)
    weight = merged(model, adapter(), {KEY: np.dtype(np.float32)})(KEY)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, model.dense(KEY) + DELTA, rtol=1e-6, atol=1e-6)
    # The sum lies in memory as the base's file does, so that writing it turns nothing twice.
    assert weight.T.flags.c_contiguous == (naming == "paddlenlp")


@pytest.mark.parametrize("naming", ["hf", "paddlenlp"])
def test_the_sum_lies_as_it_will_be_stored(
    golden: Path, naming: Literal["hf", "paddlenlp"]
) -> None:
    model = open_model(golden / "llama_v2_gqa")
    layout = Layout.of(model.spec, model.sizes, naming)
    weight = merged(model, adapter(), layout=layout)(KEY)
    assert weight.T.flags.c_contiguous == (naming == "paddlenlp")
    np.testing.assert_allclose(weight, model.dense(KEY) + DELTA, rtol=1e-5, atol=1e-5)


def test_a_quantized_base_is_dequantized(golden: Path, tmp_path: Path) -> None:
    source = open_model(golden / "llama_v2_gqa")
    packed = Int4Weight.from_dense(source.dense(KEY))
    save_model(
        tmp_path,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=lambda key: packed if key == KEY else source.weight(key),
        naming="hf",
        quantization=Quantization({KEY: Scheme(4, None)}),
    )
    weight = merged(open_model(tmp_path), adapter())(KEY)
    np.testing.assert_allclose(weight, packed.dequantize() + DELTA, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": {}}, "it adapts nothing"),
        ({"pairs": {ParameterKey("q", 9): (A, B)}}, r"layers\.9\.q\.weight does not exist"),
        ({"pairs": {ParameterKey("k", 0): (A, B)}}, r"layers\.0\.k\.weight is \[32, 64\]"),
        ({"pairs": {KEY: (A, B[:2])}}, "B "),
        ({"pairs": {KEY: (A, B * np.nan)}}, r"not finite, for layers\.0\.q\.weight"),
        ({"replaced": {ParameterKey("head"): A}}, r"head\.weight is \(256, 64\)"),
    ],
)
def test_adapters_that_do_not_fit(golden: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        merged(open_model(golden / "llama_v2_gqa"), adapter(**changes))


@pytest.mark.parametrize("base_dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("large", [6e4, 6.5e4])
def test_sums_too_large_for_the_type_are_refused(
    golden: Path, tmp_path: Path, base_dtype: str, large: float
) -> None:
    """Where the base alone would fit, and where base and adapter both do."""
    source = open_model(golden / "llama_v2_gqa")
    weights = {key: source.weight(key) for key in source.parameters}
    weights[KEY] = np.full(source.parameters[KEY], large, np.float32)
    save_model(
        tmp_path,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=weights.__getitem__,
        naming="hf",
        dtype=base_dtype,
    )
    model = open_model(tmp_path)
    half = dict.fromkeys(model.parameters, np.dtype(np.float16))
    ones = np.ones((64, 3), np.float32)
    merged(model, adapter(pairs={KEY: (ones, 10 * ones.T)}), half)(KEY)  # 15 more
    with pytest.raises(ConvertError, match="numbers too large for float16"):
        merged(model, adapter(pairs={KEY: (ones, 5000 * ones.T)}), half)(KEY)  # 7,500 more
