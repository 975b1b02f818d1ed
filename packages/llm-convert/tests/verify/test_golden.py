"""Files that do not fit are refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.errors import FileFormatError
from llm_convert.model import open_model
from llm_convert.verify.golden import read_golden

FITTING = {
    "prompt_0": np.array([1, 2, 3]),
    "logits_0": np.zeros((3, 256), np.float32),
    "generated": np.array([[4, 5]]),
}


def read(golden: Path, folder: Path, arrays: dict[str, Any], family: str = "llama_v1") -> Any:
    np.savez(folder / "x.npz", **arrays)
    return read_golden(folder / "x.npz", open_model(golden / family))


def test_what_fits(golden: Path, tmp_path: Path) -> None:
    (prompt,) = read(golden, tmp_path, {**FITTING, "something": np.array(["else"])})
    assert prompt.generated.tolist() == [4, 5]
    positions, prefix = prompt.placed(open_model(golden / "llama_v1"))
    assert (positions.tolist(), prefix) == ([[0, 1, 2, 3, 4]], 0)


def test_ids_of_a_prompt_alone_are_preferred(golden: Path, tmp_path: Path) -> None:
    (prompt,) = read(golden, tmp_path, {**FITTING, "generated_0": np.array([9])})
    assert prompt.generated.tolist() == [9]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt_0": None}, r"holds no prompt_0 \(it holds generated, logits_0\)"),
        ({"logits_0": None}, "no logits_0"),
        ({"logits_0": np.zeros((3, 255), np.float32)}, r"need float32 \[3, 256\]"),
        ({"logits_0": np.zeros((3, 256), np.int64)}, "logits_0 of int64"),
        ({"prompt_0": np.array([1, 2, 256])}, "from 1 to 256"),
        ({"prompt_0": np.array([1.0, 2, 3])}, r"not int64 \[T\]"),
        ({"prompt_0": np.zeros(0, np.int64)}, r"int64 \[0\]"),
        ({"prompt_1": np.array([1])}, "no logits_1"),
        ({"generated": np.array([1, 2])}, "without a row for prompt_0"),
        ({"generated": np.array([[-1, 2]])}, "from -1 to 2"),
        ({"prompt_0": np.array([{}], object)}, "no readable .npz: Object arrays"),
    ],
)
def test_what_does_not(golden: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    arrays = {name: value for name, value in (FITTING | change).items() if value is not None}
    with pytest.raises(FileFormatError, match=said):
        read(golden, tmp_path, arrays)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        (b"", "no readable .npz"),
        (b"PK\x03\x04 and then nothing", "no readable .npz"),
        (b"some text", "no readable .npz"),
    ],
)
def test_files_that_are_no_npz(
    golden: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match=said):
        read_golden(tmp_path / "x.npz", open_model(golden / "llama_v1"))


def test_a_single_array_is_no_npz(golden: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(FileFormatError, match="a single array"):
        read_golden(tmp_path / "x.npy", open_model(golden / "llama_v1"))


def test_a_prefix_mask_needs_its_positions(golden: Path, tmp_path: Path) -> None:
    (prompt,) = read(golden, tmp_path, FITTING, "glm")
    with pytest.raises(FileFormatError, match="Add position_ids_0 int64"):
        prompt.placed(open_model(golden / "glm"))
    with pytest.raises(FileFormatError, match="has position_ids_0 of int64"):
        read(golden, tmp_path, {**FITTING, "position_ids_0": np.zeros((2, 2), np.int64)}, "glm")


def test_positions_that_end_with_the_prompt_go_on(golden: Path, tmp_path: Path) -> None:
    """Of GLM the first position stays that of the mask token, the second counts the answer."""
    stated = np.array([[0, 1, 1], [0, 0, 1]])
    (prompt,) = read(golden, tmp_path, {**FITTING, "position_ids_0": stated}, "glm")
    positions, prefix = prompt.placed(open_model(golden / "glm"))
    assert (positions.tolist(), prefix) == ([[0, 1, 1, 1, 1], [0, 0, 1, 2, 3]], 2)
