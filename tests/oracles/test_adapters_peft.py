"""Adapters through peft: ours load there and compute the same, peft's are read and merged alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
pytest.importorskip("llm_convert")

from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from llm_convert.layout import Layout  # noqa: E402
from llm_convert.lora import LoraAdapter, merged, read_lora, write_lora, write_peft  # noqa: E402
from llm_convert.model import open_model  # noqa: E402
from llm_kernels.families import ParameterKey  # noqa: E402

TOKENS = torch.arange(3, 35)[None]


def torch_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def wrapped(model: Any, **options: Any) -> Any:
    """The model with a peft adapter of random, not vanishing, numbers."""
    torch.manual_seed(0)
    model = peft.get_peft_model(
        model, peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def logits(model: Any) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = model(TOKENS).logits[0].double().numpy()
    return found


RNG_OF_EVERY = {
    "llama, plain": ("llama_v2_gqa", ("q", "v"), {}, {}),
    "llama, rslora": (
        "llama_v2_gqa",
        ("q", "k", "v", "out", "gate", "up", "down"),
        {},
        {"rslora": 1},
    ),
    "llama, other scalings and ranks": ("llama_v2_gqa", ("q", "down"), {"down": (2, 0.7)}, {}),
    "gpt2, fused and transposed": ("gpt2", ("q", "k", "v", "up"), {}, {}),
    "bloom, fused head by head": ("bloom", ("q", "k", "v"), {}, {}),
    "bloom, only a part of a fused linear": ("bloom", ("v",), {}, {}),
}


@pytest.mark.parametrize("case", RNG_OF_EVERY)
def test_our_adapters_compute_in_peft_what_ours_compute(
    case: str, golden: Path, tmp_path: Path
) -> None:
    family, slots, special, config = RNG_OF_EVERY[case]
    base = open_model(golden / family)
    rng = np.random.default_rng(3)
    pairs, scalings = {}, {}
    for key, shape in base.parameters.items():
        if key.slot in slots and key.leaf == "weight":
            rank, scaling = special.get(key.slot, (4, 2.0))
            a = rng.normal(size=(shape[1], rank)).astype(np.float32)
            b = rng.normal(size=(rank, shape[0])).astype(np.float32)
            pairs[key] = a * np.float32(0.1), b
            if scaling != 2.0:
                scalings[key] = scaling
    alpha = 4.0 if config else 8.0
    adapter = LoraAdapter(4, alpha, 2.0, pairs, scalings, config=config)
    write_peft(tmp_path, adapter, spec=base.spec, sizes=base.sizes)

    model = torch_model(golden / family)
    before = logits(model)
    loaded = peft.PeftModel.from_pretrained(model, str(tmp_path)).eval()
    with_adapter = logits(loaded)
    assert np.abs(with_adapter - before).max() > 0.1
    weight = merged(base, adapter)
    ours = torch_model(golden / family)
    ours.load_state_dict(hub_state(base, weight), strict=False)
    assert np.abs(logits(ours) - with_adapter).max() < 1e-4 * max(1, np.abs(with_adapter).max())


def hub_state(base: Any, weight: Any) -> dict[str, Any]:
    """Weights [out, in] under the names of the hub, as torch takes them."""
    layout = Layout.of(base.spec, base.sizes, "hf")
    return {
        name: torch.from_numpy(np.ascontiguousarray(layout.encode(name, weight)))
        for name in layout.tensors
    }


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (
            "llama_v2_gqa",
            {
                "target_modules": ["q_proj", "v_proj", "down_proj"],
                "use_rslora": True,
                "modules_to_save": ["lm_head", "embed_tokens"],
            },
        ),
        (
            "llama_v2_gqa",
            {
                "target_modules": "all-linear",
                "rank_pattern": {"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 8},
                "alpha_pattern": {"v_proj": 3},
            },
        ),
        ("gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}),
        ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True, "bias": "all"}),
        ("qwen2", {"target_modules": ["q_proj", "up_proj"], "bias": "all"}),
        ("bloom", {"target_modules": ["query_key_value", "dense"]}),
        ("mixtral", {"target_modules": ["q_proj", "w1", "w2"]}),
    ],
)
def test_pefts_adapters_merge_to_pefts_weights(
    family: str, options: dict[str, Any], golden: Path, tmp_path: Path
) -> None:
    model = wrapped(torch_model(golden / family), r=4, lora_alpha=6, **options)
    model.save_pretrained(str(tmp_path))
    base = open_model(golden / family)
    adapter = read_lora(tmp_path, base)
    expected = model.merge_and_unload().state_dict()
    found = hub_state(base, merged(base, adapter))
    changed = 0
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor, expected[name], rtol=2e-5, atol=2e-6, err_msg=name)
        changed += not np.array_equal(tensor, torch_model_state(golden / family)[name])
    assert changed >= 2


STATES: dict[Path, dict[str, Any]] = {}


def torch_model_state(folder: Path) -> dict[str, Any]:
    if folder not in STATES:
        STATES[folder] = torch_model(folder).state_dict()
    return STATES[folder]


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("llama_v2_gqa", ["q_proj", "v_proj", "down_proj"]),
        ("gpt2", ["c_attn"]),
        ("baichuan_7b", ["W_pack", "o_proj"]),
    ],
)
def test_peft_to_paddlenlp_and_back_is_exact(
    family: str, targets: list[str], golden: Path, tmp_path: Path
) -> None:
    base = open_model(golden / family)
    layout = Layout.of(base.spec, base.sizes, "hf")
    rng = np.random.default_rng(5)
    first, paddle, back = (tmp_path / name for name in ("first", "paddle", "back"))
    for folder in (first, paddle, back):
        folder.mkdir()
    pairs = {}
    for name, stored in layout.tensors.items():
        if name.endswith(tuple(f"{target}.weight" for target in targets)):
            inputs = base.parameters[stored.parts[0]][1]
            a = rng.normal(size=(inputs, 4)).astype(np.float16)
            for key in stored.parts:
                outputs = base.parameters[key][0]
                pairs[key] = a, rng.normal(size=(4, outputs)).astype(np.float16)
    place = {"spec": base.spec, "sizes": base.sizes}
    write_peft(first, LoraAdapter(4, 6, 1.5, pairs), **place)
    write_lora(paddle, read_lora(first, base), dtype=None, **place)
    write_peft(back, read_lora(paddle, base), **place)
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in (first, back))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert tensor.dtype == two[name].dtype == torch.float16
        assert torch.equal(tensor, two[name]), name
    config = json.loads((back / "adapter_config.json").read_text())
    assert config == json.loads((first / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(targets)
    assert ParameterKey("q", 0) in read_lora(back, base).pairs


def test_dora_is_refused(golden: Path, tmp_path: Path) -> None:
    model = wrapped(torch_model(golden / "llama_v2_gqa"), r=4, use_dora=True)
    model.save_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match=r"use_dora=True.*not plain LoRA"):
        read_lora(tmp_path, open_model(golden / "llama_v2_gqa"))
