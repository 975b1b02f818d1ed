"""Is this the model that the adapter was trained on?"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_convert.errors import AdapterError
from llm_convert.lora.base import BASE_FILE, check_base, sketch, write_sketch
from llm_convert.model import Model, open_model, save_model
from llm_kernels.families import SLOTS


@pytest.fixture
def base(golden: Path) -> Model:
    """The golden Llama with grouped KV heads."""
    return open_model(golden / "llama_v2_gqa")


@pytest.fixture
def noted(base: Model, tmp_path: Path) -> Path:
    """A folder that says which base it belongs to."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    keys = (key for key in base.parameters if SLOTS[key.slot].adaptable and key.leaf == "weight")
    write_sketch(folder, sketch(base, keys))
    return folder


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


@pytest.mark.parametrize(
    ("dtype", "noise"), [("float32", 0.0), ("bfloat16", 0.0), ("float32", 0.1)]
)
def test_the_same_model_is_recognised_after_conversions(
    noted: Path, base: Model, tmp_path: Path, dtype: str, noise: float
) -> None:
    assert check_base(noted, rewritten(base, tmp_path / "again", dtype, noise))


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
