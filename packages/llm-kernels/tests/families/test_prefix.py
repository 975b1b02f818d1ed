from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_kernels.errors import ShapeError
from llm_kernels.families import prefix_positions


@pytest.mark.parametrize("prompt", [0, 1])
def test_glm_positions_are_those_of_the_original_helper(golden: Path, prompt: int) -> None:
    held = np.load(golden / "glm" / "golden.npz")
    tokens = held[f"prompt_{prompt}"]
    positions, prefix = prefix_positions(tokens, start_token=255, mask_tokens=(252, 253, 254))
    np.testing.assert_array_equal(positions, held[f"position_ids_{prompt}"][:, : len(tokens)])
    assert tokens[prefix] == 255


def test_chatglm_positions_are_those_of_the_original_code(golden: Path) -> None:
    held = np.load(golden / "chatglm" / "golden.npz")
    tokens = held["input_ids"][0]
    positions, prefix = prefix_positions(tokens, start_token=250, mask_tokens=(247, 246))
    np.testing.assert_array_equal(positions, held["position_ids"][0])
    # attention_mask is True where a key is hidden: the prefix is what the first row sees.
    assert prefix == int((~held["attention_mask"][0, 0, 0]).sum())


def test_the_answer_counts_in_the_second_row() -> None:
    positions, prefix = prefix_positions([5, 90, 6, 91, 7, 8], start_token=91, mask_tokens=(90,))
    assert positions.tolist() == [[0, 1, 2, 1, 1, 1], [0, 0, 0, 1, 2, 3]]
    assert prefix == 3


def test_the_preferred_mask_wins() -> None:
    positions, _ = prefix_positions([80, 90, 91], start_token=91, mask_tokens=(90, 80))
    assert positions[0, -1] == 1


@pytest.mark.parametrize("tokens", [[1, 2, 90], [1, 2, 91], [1]])
def test_prompts_of_another_tokenizer_are_refused(tokens: list[int]) -> None:
    with pytest.raises(ShapeError, match=r"start token \(91\)"):
        prefix_positions(tokens, start_token=91, mask_tokens=(90,))
