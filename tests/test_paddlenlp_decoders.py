"""What `llm convert --from-torch` writes, loaded and run by PaddleNLP's own decoder classes.

The other side is the original implementations' logits (tests/golden/README.md). Every fixture is
here: of a family that paddlenlp 3.0.0b4 has, that it has not, or that its layout cannot hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import TensorMismatchError
from llm_convert.model import open_model
from llm_kernels.reference_decoder import forward

pytest.importorskip("paddlenlp", reason="needs paddlenlp, whose classes are the oracle")

GOLDEN = Path(__file__).resolve().parent / "golden"
FIXTURES = sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))
TOLERANCE = 1e-4
AUTO = "AutoModelForCausalLM"


def failing(error: type[Exception], reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, raises=error, reason=reason)


# Fixture -> PaddleNLP's class where its AutoModelForCausalLM does not find it.
NAMED = {
    "chatglm2": "ChatGLMv2ForCausalLM",
    "falcon_7b": "RWForCausalLM",
    "falcon_rw": "RWForCausalLM",
    "glm": "GLMForConditionalGeneration",
    "glm4_chat": "ChatGLMv2ForCausalLM",
}
# These compute another form of GELU than the original code (docs/families.md).
TOLERANCES = {"gemma": 1e-3, "glm": 2e-3}
# What fails in PaddleNLP's own code, at the sizes of the fixtures.
FAILING = {
    "deepseek_v2": failing(ValueError, "rotary positions without YaRN: index [1] out of range"),
    "deepseek_v2_lite": failing(
        ValueError, "rotary positions without YaRN: index [1] out of range"
    ),
    "falcon_rw": failing(ValueError, "ALiBi of 6 heads: a Tensor is built from a list of Tensors"),
    "glm4_chat": failing(AssertionError, "`kv_channels` * heads must equal to `hidden_size`"),
}
# PaddleNLP has no class that computes these.
WITHOUT_CLASS = {
    *("falcon_11b", "falcon_40b", "gemma2", "glm4", "glm4_0414", "phi3"),
    *("phi3_long", "qwen3", "qwen3_moe"),
}
# Its head differs from its embedding, and PaddleNLP's class has one tensor for both.
REFUSED = {"chatglm"}
CASES = [
    pytest.param(name, marks=FAILING.get(name, ()))
    for name in FIXTURES
    if name not in WITHOUT_CLASS | REFUSED
]


@pytest.fixture(scope="module")
def transformers() -> Any:
    from llm_train.quiet import import_paddlenlp

    import_paddlenlp()
    from paddlenlp import transformers

    return transformers


def converted(name: str, folder: Path) -> Path:
    options = ConvertOptions(
        from_torch=str(GOLDEN / name), output_path=str(folder / name), verify="false"
    )
    assert convert(options) == 0
    return folder / name


def loaded(transformers: Any, folder: Path, kind: str = AUTO) -> Any:
    model = getattr(transformers, kind).from_pretrained(str(folder), dtype="float32")
    model.eval()
    return model


def logits(model: Any, tokens: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    """Logits [T, V] of tokens [T]; with positions [2, T] of GLM, behind its prefix mask."""
    import paddle

    inputs = {"input_ids": tokens}
    if positions is not None:
        mask = np.tril(np.ones((len(tokens), len(tokens)), np.float32))
        mask[:, : int((positions[1] == 0).sum())] = 1
        inputs |= {"position_ids": positions, "attention_mask": mask[None]}
    with paddle.no_grad():
        output = model(**{name: paddle.to_tensor(array[None]) for name, array in inputs.items()})
    output = getattr(output, "logits", output)
    found: np.ndarray = (output[0] if isinstance(output, tuple) else output).numpy()
    return found[0]


@pytest.mark.parametrize("name", CASES)
def test_paddlenlps_classes_compute_the_same(name: str, transformers: Any, tmp_path: Path) -> None:
    model = loaded(transformers, converted(name, tmp_path), NAMED.get(name, AUTO))
    golden = np.load(GOLDEN / name / "golden.npz")
    for number in range(2):
        tokens = golden[f"prompt_{number}"]
        positions = golden[f"position_ids_{number}"][:, : len(tokens)] if name == "glm" else None
        difference = np.abs(logits(model, tokens, positions) - golden[f"logits_{number}"]).max()
        assert difference < TOLERANCES.get(name, TOLERANCE), difference


@pytest.mark.parametrize("name", ["deepseek_v2", "deepseek_v2_lite"])
def test_deepseek_v2_with_a_yarn_that_stretches_nothing(
    name: str, transformers: Any, tmp_path: Path
) -> None:
    """Every published V2 has YaRN; PaddleNLP runs no other, and this one leaves positions alone."""
    folder = converted(name, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    length = config["max_position_embeddings"]
    yarn = {"type": "yarn", "factor": 1.0, "original_max_position_embeddings": length}
    config["rope_scaling"] = {**yarn, "mscale": 1.0, "mscale_all_dim": 1.0}
    (folder / "config.json").write_text(json.dumps(config))
    golden = np.load(GOLDEN / name / "golden.npz")
    found = logits(loaded(transformers, folder), golden["prompt_0"])
    assert np.abs(found - golden["logits_0"]).max() < TOLERANCE


def test_what_paddlenlp_has_no_class_for_is_not_taken_for_another(transformers: Any) -> None:
    for name in WITHOUT_CLASS:
        (kind,) = json.loads((GOLDEN / name / "config.json").read_text())["architectures"]
        assert not hasattr(transformers, kind), name


def test_the_head_of_baichuan2_is_written_scaled_and_read_raw(tmp_path: Path) -> None:
    there = converted("baichuan2_7b", tmp_path)
    tensors = load_file(there / "model.safetensors")
    np.testing.assert_allclose(np.linalg.norm(tensors["lm_head.weight"], axis=0), 1, rtol=1e-6)
    original = load_file(GOLDEN / "baichuan2_7b" / "model.safetensors")["lm_head.weight"]
    np.testing.assert_array_equal(tensors["lm_head.raw_weight"].T, original)
    options = ConvertOptions(to_torch=str(there), output_path=str(tmp_path / "back"))
    assert convert(options) == 0
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert "lm_head.raw_weight" not in back
    np.testing.assert_array_equal(back["lm_head.weight"], original)


def test_a_head_without_a_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TensorMismatchError, match="no place for a head"):
        converted("chatglm", tmp_path)


def test_the_head_of_opt_is_written_a_second_time_and_read_once(tmp_path: Path) -> None:
    there = converted("opt", tmp_path)
    tensors = load_file(there / "model.safetensors")
    embedding = tensors["opt.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(tensors["lm_head.decoder_weight"], embedding)
    options = ConvertOptions(to_torch=str(there), output_path=str(tmp_path / "back"))
    assert convert(options) == 0
    assert set(load_file(tmp_path / "back" / "model.safetensors")) == set(
        load_file(GOLDEN / "opt" / "model.safetensors")
    )


@pytest.mark.parametrize("name", ["baichuan_7b", "baichuan_13b", "baichuan2_7b", "deepseek_v3"])
def test_what_is_stated_for_paddlenlp_is_taken_back(name: str, tmp_path: Path) -> None:
    there = converted(name, tmp_path)
    options = ConvertOptions(to_torch=str(there), output_path=str(tmp_path / "back"))
    assert convert(options) == 0
    before, after = (
        json.loads((folder / "config.json").read_text())
        for folder in (GOLDEN / name, tmp_path / "back")
    )
    types = ("dtype", "torch_dtype")
    assert {field: value for field, value in after.items() if field not in types} == {
        field: value for field, value in before.items() if field not in types
    }


@pytest.mark.parametrize("name", ["baichuan_13b", "baichuan2_7b"])
def test_baichuan_that_paddlenlp_saved_is_read_as_what_it_computes(
    name: str, transformers: Any, tmp_path: Path
) -> None:
    model = loaded(transformers, converted(name, tmp_path))
    model.save_pretrained(str(tmp_path / "saved"), safe_serialization=True)
    again = open_model(tmp_path / "saved")
    golden = np.load(GOLDEN / name / "golden.npz")
    found = forward(again.spec, again.sizes, again.weight, golden["prompt_0"])
    assert np.abs(found - golden["logits_0"]).max() < TOLERANCE
