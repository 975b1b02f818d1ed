"""Several LoRA adapters beside the same weights, one for each request."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_infer.engine import SamplingParams
from llm_infer.errors import InferError, UnsupportedError
from llm_infer.load import load_engine


@pytest.fixture
def adapters(golden, tmp_path):
    """Two adapters of `llama_v2_gqa`: the golden one, and its negative."""
    for name in ("plus", "minus"):
        shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / name)
    file = tmp_path / "minus" / "adapter_model.safetensors"
    turned = {
        name: np.array(-value if "lora_B" in name else value)
        for name, value in load_file(file).items()
    }
    save_file(turned, file)
    return {name: tmp_path / name for name in ("plus", "minus")}


def test_each_request_has_its_own(golden, make_harness, adapters):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    base = golden / "llama_v2_gqa"
    prompts = [[5, 6, 7, 8], [5, 6, 7, 8, 9, 10, 11, 12, 13]]

    def params(adapter=None):
        return SamplingParams(max_new_tokens=6, ignore_eos=True, adapter=adapter)

    alone = {
        name: make_harness.generate(load_engine(base, lora_path=path, threads=1), prompts, params())
        for name, path in {**adapters, None: None}.items()
    }
    assert len({str(tokens) for tokens in alone.values()}) == 3
    engine = load_engine(base, native=False, lora_paths=adapters, block_size=4, num_blocks=40)
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


def test_what_cannot_be_beside_is_refused(golden, adapters):
    with pytest.raises(UnsupportedError, match="--inference_model false"):
        load_engine(golden / "llama_v2_gqa", lora_paths=adapters)
