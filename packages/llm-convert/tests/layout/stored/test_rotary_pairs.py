"""DeepSeek that rotates halves (`rope_interleave` false) in PaddleNLP's files, which know pairs.

A golden model rotates pairs. With its rotated rows put into the order of halves, and said so, it is
the same model: the recorded logits of the original are its logits, and its PaddleNLP files those of
the golden model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.files.pdparams import open_pdparams
from llm_convert.layout import RotaryPairs
from llm_convert.lora import LoraAdapter, read_lora, write_lora
from llm_convert.model import open_model
from llm_kernels.families import ParameterKey

FAMILIES = ["deepseek_v3", "deepseek_v2", "deepseek_v2_lite"]
BIAS = "model.layers.1.self_attn.kv_a_proj_with_mqa.bias"


def halves(rows: np.ndarray, width: int, rotated: int) -> np.ndarray:
    """Rows in pairs in the order of halves, one by one."""
    out = rows.copy()
    for start in range(0, len(rows), width):
        first = start + width - rotated
        for i in range(rotated // 2):
            out[first + i] = rows[first + 2 * i]
            out[first + rotated // 2 + i] = rows[first + 2 * i + 1]
    return out


def with_halves(golden: Path, family: str, folder: Path, *, bias: bool = False) -> Path:
    shutil.copytree(golden / family, folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    rotated, latent = config["qk_rope_head_dim"], config["kv_lora_rank"]
    for name, rows in tensors.items():
        if name.endswith(("q_b_proj.weight", "q_proj.weight")):
            tensors[name] = halves(rows, config["qk_nope_head_dim"] + rotated, rotated)
        elif "kv_a_proj_with_mqa" in name:
            tensors[name] = halves(rows, latent + rotated, rotated)
    if bias:
        rng = np.random.default_rng(7)
        for name in [name for name in tensors if "self_attn" in name and "proj" in name]:
            if any(part in name for part in ("q_a_proj", "kv_a_proj", "o_proj")):
                size = tensors[name].shape[0]
                random = rng.standard_normal(size).astype(np.float32)
                tensors[name.replace(".weight", ".bias")] = random
    save_file(tensors, folder / "model.safetensors")
    config |= {"rope_interleave": False, "attention_bias": bias}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def run(**options: object) -> None:
    assert convert(ConvertOptions(**{name: str(value) for name, value in options.items()})) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_paddlenlp_gets_the_rows_that_it_rotates(golden: Path, tmp_path: Path, family: str) -> None:
    source = with_halves(golden, family, tmp_path / "m")
    run(verify=source, golden=golden / family / "golden.npz")
    run(from_torch=source, output_path=tmp_path / "p")
    run(from_torch=golden / family, output_path=tmp_path / "pairs")
    found, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("p", "pairs"))
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    run(verify=tmp_path / "p", golden=golden / family / "golden.npz")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_way_back_is_exact(golden: Path, tmp_path: Path, family: str, bias: bool) -> None:
    source = with_halves(golden, family, tmp_path / "m", bias=bias)
    run(from_torch=source, output_path=tmp_path / "p")
    run(to_torch=tmp_path / "p", output_path=tmp_path / "back")
    before, after = (
        load_file(folder / "model.safetensors") for folder in (source, tmp_path / "back")
    )
    assert set(before) == set(after)
    assert (BIAS in before) is bias
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    assert json.loads((tmp_path / "back" / "config.json").read_text())["rope_interleave"] is False


def test_adapters_go_along(golden: Path, tmp_path: Path) -> None:
    """What PaddleNLP adds to its rows is what the canonical rows get, in its order."""
    source = open_model(with_halves(golden, "deepseek_v3", tmp_path / "m"))
    rng = np.random.default_rng(3)
    keys = [ParameterKey(slot, 1) for slot in ("q_up", "kv_down", "out")]
    pairs = {}
    for key in keys:
        outputs, inputs = source.parameters[key]
        a, b = rng.standard_normal((inputs, 2)), rng.standard_normal((2, outputs))
        pairs[key] = (a.astype(np.float32), b.astype(np.float32))
    folder = tmp_path / "adapter"
    folder.mkdir()
    adapter = LoraAdapter(2, 2.0, 1.0, pairs)
    write_lora(folder, adapter, spec=source.spec, sizes=source.sizes)
    back = read_lora(folder, source)
    for key in keys:
        np.testing.assert_array_equal(back.delta(key), adapter.delta(key))
    stored = open_pdparams(folder / "lora_model_state.pdparams")
    stem = "deepseek_v3.layers.1.self_attn.kv_a_proj_with_mqa"
    delta = (stored[f"{stem}.lora_A"] @ stored[f"{stem}.lora_B"]).T
    latent = source.sizes.latent
    assert latent is not None
    width = latent.kv_rank + latent.rope_dim
    expected = adapter.delta(ParameterKey("kv_down", 1))
    np.testing.assert_allclose(halves(delta, width, latent.rope_dim), expected, rtol=1e-5)


def test_rows_one_by_one() -> None:
    rows = np.arange(2 * 6 * 3).reshape(12, 3)
    order = RotaryPairs(6, 4)
    np.testing.assert_array_equal(order.to_half(rows), halves(rows, 6, 4))
    np.testing.assert_array_equal(order.from_half(order.to_half(rows)), rows)
    np.testing.assert_array_equal(RotaryPairs(6, 6).to_half(rows), halves(rows, 6, 6))
