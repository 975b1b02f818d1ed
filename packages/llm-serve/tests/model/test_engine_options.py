"""Every way to run a model that `llm infer` knows, in a served model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_infer.engine import Engine, SamplingParams
from llm_infer.load import AdapterPaths, Backend, CacheSettings, Precision, load_engine
from llm_serve.model import load_model
from llm_serve.options import ServeOptions

PROMPT = list(range(5, 40))
TOLD = SamplingParams(max_new_tokens=8, ignore_eos=True, logprobs=2)


def opened(folder: Path, **options: Any) -> Engine:
    return load_model(
        ServeOptions(model_name_or_path=str(folder), num_blocks=8, threads=1, **options)
    ).engine


def told(engine: Engine) -> list[Any]:
    try:
        return [event.logprobs for event in engine.submit(PROMPT, TOLD)]
    finally:
        engine.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"speculate_ngram": 2},
        {"prefix_cache": False, "max_batch_tokens": 5},
        {"mode": "static"},
        {"inference_model": False},
    ],
    ids=str,
)
def test_the_tokens_are_the_reference_however_they_are_computed(
    golden: Path, tiny_model: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    folder = tiny_model
    if options.get("mode") == "static":
        folder = tmp_path / "bundle"
        words = ["infer", "export", "--model_name_or_path", tiny_model, "--output_path", folder]
        subprocess.run([sys.executable, "-m", "llm_cli", *map(str, words)], check=True)
    if options.get("inference_model") is False:
        pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    fixture = np.load(golden / "llama_v2_gqa" / "golden.npz")
    wanted = fixture["generated"][0].tolist()
    engine = opened(folder, **options)
    try:
        params = SamplingParams(max_new_tokens=len(wanted), ignore_eos=True)
        events = engine.submit(fixture["prompt_0"].tolist(), params)
        assert [event.token_id for event in events] == wanted
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("options", "precision", "cache"),
    [
        (
            {"dtype": "bfloat16"},
            {"dtype": "bfloat16", "act_quant_type": "int8_block", "quantize_head": True},
            {},
        ),
        ({"cachekv_dtype": "bfloat16"}, {}, {"cachekv_dtype": "bfloat16"}),
        ({"cachekv_int8_type": "dynamic"}, {}, {"cachekv_int8_type": "dynamic"}),
        (
            {"quant_type": "weight_only_int4", "act_quant_type": "int8_token"},
            {
                "quant_type": "weight_only_int4",
                "act_quant_type": "int8_token",
                "quantize_head": True,
            },
            {},
        ),
        (
            {"quant_type": "a8w8c8", "act_quant_type": "none", "quantize_head": False},
            {"quant_type": "a8w8"},
            {"cachekv_int8_type": "dynamic"},
        ),
    ],
)
def test_rounding_is_that_of_the_engine(
    tiny_model: Path, options: dict[str, Any], precision: dict[str, Any], cache: dict[str, Any]
) -> None:
    served = told(opened(tiny_model, **options))
    engine = load_engine(
        tiny_model,
        precision=Precision(**precision),
        cache=CacheSettings(num_blocks=8, **cache),
        backend=Backend(threads=1),
    )
    assert served == told(engine)
    assert served != told(opened(tiny_model))


def test_one_adapter_is_merged(golden: Path, tiny_model: Path) -> None:
    adapter = str(golden / "lora_llama_v2_gqa")
    served = told(opened(tiny_model, lora_path=[adapter]))
    assert served == told(
        load_engine(
            tiny_model,
            cache=CacheSettings(num_blocks=8),
            adapters=AdapterPaths(lora_path=adapter),
            backend=Backend(threads=1),
        )
    )
    assert served != told(opened(tiny_model))
