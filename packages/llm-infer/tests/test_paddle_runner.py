"""The Paddle decoder behind the engine gives the golden tokens too."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine import SamplingParams
from llm_infer.errors import UnsupportedError
from llm_infer.load import Backend, CacheSettings, Scheduling, load_engine

GREEDY = SamplingParams(max_new_tokens=16, ignore_eos=True)


@pytest.mark.parametrize("family", ["llama_v2_gqa", "bloom", "qwen2_moe"])
def test_golden_tokens_in_chunks_and_a_pool_that_preempts(golden, make_harness, family):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    expected = np.load(golden / family / "golden.npz")
    prompts = [expected[f"prompt_{i}"].tolist() for i in range(2)]
    engine = load_engine(
        golden / family,
        cache=CacheSettings(num_blocks=5, block_size=8),
        scheduling=Scheduling(max_batch_tokens=6),
        backend=Backend(inference_model=False),
    )
    assert make_harness.generate(engine, prompts, GREEDY) == expected["generated"].tolist()
    assert engine.stats().preemptions > 0
    assert engine.runner.cache_bytes == 2 * engine.runner._keys[0].size * 4 * len(
        engine.runner._keys
    )


def test_without_paddle_the_extra_is_named(golden, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r'tools/install "llm-infer\[paddle\]"'):
        load_engine(golden / "llama_v2_gqa", backend=Backend(inference_model=False))
