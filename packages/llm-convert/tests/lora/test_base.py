"""Is this the model that the adapter was trained on?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_convert.errors import AdapterError
from llm_convert.lora.base import BASE_FILE, check_base, sketch, write_sketch
from llm_convert.model import Model, open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_kernels.families import SLOTS, ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight


@pytest.fixture
def base(golden: Path) -> Model:
    """The golden Llama with grouped KV heads."""
    return open_model(golden / "llama_v2_gqa")


@pytest.fixture
def noted(base: Model, tmp_path: Path) -> Path:
    """A folder that says which base it belongs to."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_sketch(folder, sketch(base, linears(base)))
    return folder


def linears(base: Model) -> list[ParameterKey]:
    """What an adapter of every linear adapts."""
    return [key for key in base.parameters if SLOTS[key.slot].adaptable and key.leaf == "weight"]


def rewritten(base: Model, folder: Path, dtype: str, noise: float) -> Model:
    """The base in PaddleNLP's layout and another type, with relative noise on its weights."""
    random = np.random.default_rng(2)

    def weight(key: object) -> np.ndarray:
        dense = base.dense(key)
        return dense * (1 + noise * random.standard_normal(dense.shape)).astype(np.float32)

    folder.mkdir()
    save_model(
        folder,
        config=base.config,
        spec=base.spec,
        sizes=base.sizes,
        parameters=weight,
        naming="paddlenlp",
        dtype=dtype,
    )
    return open_model(folder)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_same_model_is_recognised_after_conversions(
    noted: Path, base: Model, tmp_path: Path, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert check_base(noted, rewritten(base, tmp_path / "again", dtype, 0.0))
    assert not caplog.records


@pytest.mark.parametrize(
    ("one", "other"), [("float16", "bfloat16"), ("bfloat16", "float16"), ("bfloat16", "float32")]
)
def test_two_roundings_of_one_model_are_the_same(
    base: Model, tmp_path: Path, one: str, other: str
) -> None:
    first = rewritten(base, tmp_path / "first", one, 0.0)
    source = base if other != "float32" else first
    write_sketch(tmp_path, sketch(first, linears(base)))
    assert check_base(tmp_path, rewritten(source, tmp_path / "second", other, 0.0))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("noise", [0.1, 0.02, 0.003])
def test_a_model_that_was_trained_on_is_another_one(
    noted: Path,
    base: Model,
    tmp_path: Path,
    noise: float,
    dtype: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However near: a relative distance of 0.08 is far from 1.4, and not 0."""
    other = rewritten(base, tmp_path / "other", dtype, noise)
    with pytest.raises(AdapterError, match=r"distance 0\.\d+, which must be 0.*lora_base\.json"):
        check_base(noted, other)
    assert check_base(noted, other, allow_other=True)
    assert "is another base" in caplog.text


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("trained_on_it", [False, True])
def test_a_quantized_base_is_accepted_with_a_warning(
    base: Model, tmp_path: Path, bits: int, trained_on_it: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kind = Int4Weight if bits == 4 else Int8Weight
    quantization = Quantization.uniform(base.spec, base.sizes, Scheme(bits, None))
    (tmp_path / "packed").mkdir()
    save_model(
        tmp_path / "packed",
        config=base.config,
        spec=base.spec,
        sizes=base.sizes,
        parameters=lambda key: (
            kind.from_dense(base.dense(key)) if key in quantization.schemes else base.weight(key)
        ),
        naming="hf",
        quantization=quantization,
    )
    packed = open_model(tmp_path / "packed")
    trained, used = (packed, base) if trained_on_it else (base, packed)
    write_sketch(tmp_path, sketch(trained, linears(base)))
    assert check_base(tmp_path, trained)
    assert not caplog.records
    assert check_base(tmp_path, used)
    assert "as rounding to few bits moves them" in caplog.text


def test_sketches_of_earlier_versions(
    noted: Path, base: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads((noted / BASE_FILE).read_text())
    del content["quantized"]
    (noted / BASE_FILE).write_text(json.dumps(content))
    assert check_base(noted, rewritten(base, tmp_path / "other", "float32", 0.1))
    assert "numbers do not tell" in caplog.text


def test_another_model_of_the_same_shapes_is_an_error(
    noted: Path, base: Model, tmp_path: Path
) -> None:
    other = rewritten(base, tmp_path / "other", "float32", 2.0)
    with pytest.raises(AdapterError, match=r"was trained on .*llama.*are others") as caught:
        check_base(noted, other)
    assert caught.value.exit_code == 2


def test_adapters_of_other_tools_say_nothing(golden: Path, base: Model, tmp_path: Path) -> None:
    folder = shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / "peft")
    assert not (folder / BASE_FILE).exists()
    assert check_base(folder, base) is False


@pytest.mark.parametrize(
    ("named", "warned"),
    [
        ("llama_v2_gqa", False),
        ("/elsewhere/llama_v2_gqa", False),
        ("org/llama_v2_gqa", False),
        ("org/cached", False),
        ("org/cached@main", False),
        ("org/chat", True),
        ("llama_v2_gqa/checkpoint-10", True),
        (None, False),
    ],
)
def test_a_name_that_is_another_is_warned_of(
    golden: Path,
    base: Model,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    named: str | None,
    warned: bool,
) -> None:
    folder = shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / "peft")
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = named
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if "cached" in str(named):
        snapshot = tmp_path / "models--org--cached" / "snapshots" / "0123"
        base = open_model(shutil.copytree(base.path, snapshot))
    assert check_base(folder, base) is False
    assert ("is taken on trust" in caplog.text) is warned
