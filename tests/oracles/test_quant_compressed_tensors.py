"""Quantized folders of llm-quant, opened by transformers with compressed-tensors.

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
pytest.importorskip("llm_quant")

from llm_convert.model import open_model, save_model  # noqa: E402
from llm_kernels import reference_decoder  # noqa: E402
from llm_kernels.families import ParameterKey, detect, parameters, read_sizes  # noqa: E402
from llm_quant.core.grid import Grid  # noqa: E402
from llm_quant.core.hessian import Gram  # noqa: E402
from llm_quant.core.linear import Recipe, quantize_linear  # noqa: E402
from llm_quant.output import Outputs, write_model  # noqa: E402
from llm_quant.targets import quantized_linears  # noqa: E402
from llm_quant.weight_only.options import WeightOnlyOptions  # noqa: E402
from llm_quant.weight_only.run import weight_only  # noqa: E402

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
TOKENS = np.random.default_rng(3).integers(0, 256, 40)


@pytest.fixture(params=["float32", "bfloat16"])
def dense(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Llama with random weights whose linears all have inputs divisible by 32."""
    folder = tmp_path / "dense"
    folder.mkdir()
    spec = detect(CONFIG)
    sizes = read_sizes(spec, CONFIG)
    rng = np.random.default_rng(11)
    arrays: dict[ParameterKey, np.ndarray] = {}
    for key, shape in parameters(spec, sizes).items():
        spread = rng.standard_normal(shape).astype(np.float32)
        arrays[key] = 1 + 0.1 * spread if len(shape) == 1 else spread / np.sqrt(shape[-1])
    save_model(
        folder,
        config=CONFIG,
        spec=spec,
        sizes=sizes,
        parameters=arrays.__getitem__,
        naming="hf",
        dtype=request.param,
    )
    return folder


def torch_logits(folder: Path) -> np.ndarray:
    """Logits [T, V] of transformers in float32, which holds every stored value exactly."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.from_numpy(TOKENS)[None]).logits[0].numpy()


def our_logits(folder: Path) -> np.ndarray:
    """Logits [T, V] of the reference decoder on the dequantized weights."""
    model = open_model(folder)
    return reference_decoder.forward(model.spec, model.sizes, model.dense, TOKENS)


def assert_same_logits(folder: Path) -> None:
    found, expected = torch_logits(folder), our_logits(folder)
    difference = np.abs(found - expected)
    assert difference.max() < 1e-3, f"max {difference.max():.2e}, mean {difference.mean():.2e}"
    assert found.std() > 0.1


@pytest.mark.parametrize(("group_size", "symmetric"), [(32, True), (32, False), (-1, True)])
def test_gptq_output_gives_the_same_logits(
    dense: Path, tmp_path: Path, group_size: int, symmetric: bool
) -> None:
    model = open_model(dense)
    linears = quantized_linears(model.spec, model.sizes, (), group_size)
    grid = Grid(4, group_size, symmetric, scale_dtype=model.dtype(next(iter(linears))))
    rng = np.random.default_rng(5)

    def quantized(key: ParameterKey) -> object:
        columns = linears[key][1]
        inputs = rng.standard_normal((300, columns)) @ rng.standard_normal((columns, columns))
        gram = Gram((inputs.T @ inputs).astype(np.float32), len(inputs))
        chosen, outcome = quantize_linear(model.dense(key), gram, Recipe(grid))
        assert outcome.method == "gptq"
        return chosen.packed()

    outputs = Outputs(tmp_path / "int4", overwrite=False, lineage={"command": "test"})
    write_model(outputs, model, linears, grid, quantized, report={})
    assert_same_logits(tmp_path / "int4")


@pytest.mark.parametrize(
    ("quant_type", "group_size", "symmetric"),
    [
        ("weight_only_int8", -1, True),
        ("weight_only_int8", 32, True),
        ("weight_only_int4", 32, False),
    ],
)
def test_weight_only_output_gives_the_same_logits(
    dense: Path, tmp_path: Path, quant_type: str, group_size: int, symmetric: bool
) -> None:
    weight_only(
        WeightOnlyOptions(
            model_name_or_path=str(dense),
            output_path=str(tmp_path / "out"),
            quant_type=quant_type,
            group_size=group_size,
            sym=symmetric,
        )
    )
    assert_same_logits(tmp_path / "out")


def test_scales_lose_nothing_in_the_stored_element_type(dense: Path, tmp_path: Path) -> None:
    """transformers casts scales to the model's element type: ours must be exact in it."""
    out = tmp_path / "out"
    weight_only(
        WeightOnlyOptions(
            model_name_or_path=str(dense),
            output_path=str(out),
            quant_type="weight_only_int4",
            group_size=32,
        )
    )
    stored = getattr(torch, json.loads((out / "config.json").read_text())["torch_dtype"])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=stored)
    ours = open_model(out)
    for layer, block in enumerate(theirs.model.layers):
        for slot, linear in (("q", block.self_attn.q_proj), ("down", block.mlp.down_proj)):
            weight = ours.weight(ParameterKey(slot, layer))
            assert linear.weight_scale.dtype == stored
            assert (linear.weight_scale.detach().float().numpy() == weight.scales).all()


def test_linears_left_out_stay_dense_there_too(dense: Path, tmp_path: Path) -> None:
    weight_only(
        WeightOnlyOptions(
            model_name_or_path=str(dense),
            output_path=str(tmp_path / "out"),
            quant_type="weight_only_int4",
            group_size=32,
            skip_list_names=["down", "layers.1.q."],
        )
    )
    assert_same_logits(tmp_path / "out")
