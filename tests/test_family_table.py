"""The README's table of families says what comes out when it is run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def family_table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("family_table", ROOT / "tools/family_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_was_found(family_table: ModuleType) -> None:
    rows = family_table.table()
    assert rows in (ROOT / "README.md").read_text(encoding="utf-8"), rows
    assert " no " not in rows
    assert "changed" not in rows


def test_a_wrong_weight_would_be_seen(family_table: ModuleType, tmp_path: Path) -> None:
    import shutil

    from llm_convert.files.safetensors import open_safetensors, write_safetensors
    from llm_convert.files.tensor_file import TensorInfo

    folder = tmp_path / "llama"
    shutil.copytree(ROOT / "tests" / "golden" / "llama_v1", folder)
    stored = open_safetensors(folder / "model.safetensors")
    arrays = {name: stored[name].copy() for name in stored}
    arrays["model.layers.0.mlp.up_proj.weight"][0] *= 1.5
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(folder / "model.safetensors", infos, arrays.__getitem__)
    assert family_table.verdict(folder, "reference") == "no"
