"""Several LoRA adapters beside the same weights, one for each request."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_infer.engine import SamplingParams
from llm_infer.errors import InferError, UnsupportedError
from llm_infer.load import (
    AdapterPaths,
    Backend,
    CacheSettings,
    Precision,
    Scheduling,
    load_engine,
)


@pytest.fixture
def adapters(golden, tmp_path):
    """Two adapters of `llama_v2_gqa`: the golden one, and its negative."""
    for name in ("plus", "minus"):
        shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / name)
    file = tmp_path / "minus" / "adapter_model.safetensors"
    negative = {
        name: np.array(-value if "lora_B" in name else value)
        for name, value in load_file(file).items()
    }
    save_file(negative, file)
    return {name: tmp_path / name for name in ("plus", "minus")}


@pytest.mark.parametrize("native", [True, False])
def test_each_request_has_its_own(golden, make_harness, adapters, native):
    if not native:
        pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    base = golden / "llama_v2_gqa"
    prompts = [[5, 6, 7, 8], list(range(5, 30))]

    def params(adapter=None):
        return SamplingParams(max_new_tokens=6, ignore_eos=True, adapter=adapter)

    alone = {
        name: make_harness.generate(
            load_engine(base, adapters=AdapterPaths(lora_path=path), backend=Backend(threads=1)),
            prompts,
            params(),
        )
        for name, path in {**adapters, None: None}.items()
    }
    assert len({str(tokens) for tokens in alone.values()}) == 3
    engine = load_engine(
        base,
        cache=CacheSettings(block_size=16, num_blocks=40),
        adapters=AdapterPaths(lora_paths=adapters),
        backend=Backend(inference_model=native),
    )
    assert engine.adapters == ["plus", "minus"]
    for _ in range(2):
        # The second time, the beginnings are known, but those of another adapter are not taken.
        ids = {
            engine.add_request(prompt, params(name)): (name, index)
            for index, prompt in enumerate(prompts)
            for name in ("plus", None, "minus")
        }
        events = make_harness.run(engine)
        for number, (name, index) in ids.items():
            assert [event.token_id for event in events[number]] == alone[name][index]
    assert engine.stats().cached_tokens > 0
    with pytest.raises(InferError, match="no adapter 'other'; possible: plus, minus"):
        engine.add_request([1], params("other"))


def test_rows_with_an_adapter_are_exact_in_any_batch(golden, make_harness, adapters):
    base = golden / "llama_v2_gqa"
    random = np.random.default_rng(1)
    prompts = [random.integers(1, 256, random.integers(1, 30)).tolist() for _ in range(12)]
    names = ["plus", None, "minus"] * 4

    def told(engine, indices):
        ids = [
            engine.add_request(
                prompts[i],
                SamplingParams(max_new_tokens=6, ignore_eos=True, logprobs=0, adapter=names[i]),
            )
            for i in indices
        ]
        events = make_harness.run(engine)
        return [[event.logprobs for event in events[number]] for number in ids]

    settings = {
        "adapters": AdapterPaths(lora_paths=adapters),
        "precision": Precision(quant_type="weight_only_int4"),
        "backend": Backend(threads=2),
    }
    chunks = Scheduling(max_batch_tokens=20)
    together = told(load_engine(base, scheduling=chunks, **settings), range(12))
    alone = load_engine(base, cache=CacheSettings(prefix_cache=False), **settings)
    assert together == [told(alone, [index])[0] for index in range(12)]


def test_what_cannot_be_beside_is_refused(golden, tmp_path, adapters):
    from llm_convert.lora import read_lora
    from llm_convert.model import open_model
    from llm_infer.native_adapters import check_beside
    from llm_kernels.families import ParameterKey

    adapter = read_lora(adapters["plus"], open_model(golden / "llama_v2_gqa"))
    check_beside(adapter, 0)
    pair = next(iter(adapter.pairs.values()))
    of_head = replace(adapter, pairs={**adapter.pairs, ParameterKey("head"): pair})
    with pytest.raises(UnsupportedError, match=r"Adapter 1 of --lora_path changes head\.weight"):
        check_beside(of_head, 0)
    with pytest.raises(UnsupportedError, match="--mode dynamic"):
        load_engine(
            golden / "llama_v2_gqa",
            adapters=AdapterPaths(lora_paths=adapters),
            backend=Backend(inference_model=False, mode="static"),
        )
