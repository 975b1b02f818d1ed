"""Options that stand for others: what they mean, and what may not be given beside them."""

from __future__ import annotations

import pytest

from llm_infer.errors import UnsupportedError
from llm_infer.options.model import ModelOptions

DTYPES = ("float32", "bfloat16")


def settled(**given: str) -> dict[str, str | None]:
    options = ModelOptions(model_name_or_path="m", **given)
    names = ("dtype", "quant_type", "cachekv_int8_type", "cachekv_dtype")
    return {name: getattr(options, name) for name in names if getattr(options, name)}


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        ({}, {"dtype": "float32"}),
        ({"dtype": "", "quant_type": "", "cachekv_dtype": ""}, {"dtype": "float32"}),
        ({"avx_type": "bf16"}, {"dtype": "bfloat16"}),
        ({"avx_type": "fp16"}, {"dtype": "float32"}),
        ({"avx_type": "fp16_int8"}, {"dtype": "float32", "quant_type": "weight_only_int8"}),
        (
            {"avx_type": "fp16_int8", "dtype": "bfloat16"},
            {"dtype": "bfloat16", "quant_type": "weight_only_int8"},
        ),
        (
            {"avx_cachekv_type": "fp16", "avx_type": "bf16"},
            {"dtype": "bfloat16", "cachekv_dtype": "float32"},
        ),
        (
            {"avx_cachekv_type": "fp16", "cachekv_dtype": "bfloat16"},
            {"dtype": "float32", "cachekv_dtype": "bfloat16"},
        ),
        (
            {"quant_type": "a8w8c8"},
            {"dtype": "float32", "quant_type": "a8w8", "cachekv_int8_type": "dynamic"},
        ),
        (
            {"quant_type": "a8w8c8_fp8", "cachekv_int8_type": "static"},
            {"dtype": "float32", "quant_type": "a8w8_fp8", "cachekv_int8_type": "static"},
        ),
    ],
)
def test_what_they_mean(given, meaning):
    assert settled(**given) == meaning


@pytest.mark.parametrize("name", ["bf16", "fp16"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_type_given_beside_its_synonym_must_be_the_same(name, dtype):
    meaning = {"bf16": "bfloat16", "fp16": "float32"}[name]
    if dtype == meaning:
        assert settled(avx_type=name, dtype=dtype) == {"dtype": dtype}
        return
    with pytest.raises(UnsupportedError, match=f"--avx_type {name} means --dtype {meaning}, but"):
        settled(avx_type=name, dtype=dtype)


@pytest.mark.parametrize("quant_type", ["weight_only_int4", "a8w8", "a8w8c8"])
def test_a_rounding_beside_its_synonym_must_be_the_same(quant_type):
    with pytest.raises(UnsupportedError, match=f"but --quant_type is {quant_type}"):
        settled(avx_type="fp16_int8", quant_type=quant_type)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "asked",
    [{"quant_type": "a8w8c8"}, {"quant_type": "a8w8c8_fp8"}, {"cachekv_int8_type": "dynamic"}],
)
def test_one_cache_has_one_type(asked, dtype):
    ((name, value),) = asked.items()
    told = f"--{name} {value} keeps .* in int8, but --"
    with pytest.raises(UnsupportedError, match=f"{told}cachekv_dtype is {dtype}"):
        settled(cachekv_dtype=dtype, **asked)
    with pytest.raises(UnsupportedError, match=f"{told}avx_cachekv_type is fp16"):
        settled(avx_cachekv_type="fp16", **asked)
