"""`llm convert --dtype float8` and `int8`: their folders, opened by transformers.

The other side is NumPy: `open_model` dequantizes the same folder and the reference decoder runs it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("compressed_tensors")

from llm_convert.convert.options import ConvertOptions  # noqa: E402
from llm_convert.convert.run import convert  # noqa: E402
from llm_convert.model import open_model  # noqa: E402
from llm_kernels import reference_decoder  # noqa: E402
from llm_kernels.families import ParameterKey  # noqa: E402


@pytest.mark.parametrize("wide", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float8", "int8"])
@pytest.mark.parametrize("family", ["llama_v2_gqa", "qwen2", "phi3"])
def test_transformers_computes_the_same_logits(
    golden: Path, tmp_path: Path, family: str, dtype: str, wide: str
) -> None:
    source, folder = tmp_path / "wide", tmp_path / "narrow"
    for origin, output, name in ((golden / family, source, wide), (source, folder, dtype)):
        convert(
            ConvertOptions(from_torch=str(origin), output_path=str(output), to="hf", dtype=name)
        )
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == wide
    ours = open_model(folder)
    tokens = np.random.default_rng(3).integers(0, ours.sizes.vocab, 40)
    expected = reference_decoder.forward(ours.spec, ours.sizes, ours.dense, tokens)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        found = theirs(torch.from_numpy(tokens)[None]).logits[0].numpy()
    difference = np.abs(found - expected)
    assert difference.max() < 1e-3, f"max {difference.max():.2e}, mean {difference.mean():.2e}"
    assert found.std() > 0.01
    dense = open_model(source).dense(ParameterKey("down", 0))
    assert np.abs(ours.dense(ParameterKey("down", 0)) - dense).max() > 0
