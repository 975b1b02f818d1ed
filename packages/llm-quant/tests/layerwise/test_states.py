"""Hidden states on disk: batches without padding, written in order, read in any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_quant.layerwise.states import StateFile, batches


def test_batches_join_neighbours_of_one_length() -> None:
    found = list(batches([4, 4, 4, 7, 7, 4], 2))
    assert found == [range(0, 2), range(2, 3), range(3, 5), range(5, 6)]
    assert list(batches([3], 8)) == [range(0, 1)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    lengths = [3, 3, 5, 2]
    plan = list(batches(lengths, 4))
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((len(b), lengths[b.start], 6)).astype(np.float32) for b in plan]
    states = StateFile(tmp_path / "states", lengths, 6)
    states.write(iter(parts))
    for batch, part in reversed(list(zip(plan, parts, strict=True))):
        np.testing.assert_array_equal(states.read(batch), part)
    assert (tmp_path / "states").stat().st_size == sum(lengths) * 6 * 4


def test_an_error_while_writing_leaves_no_file(tmp_path: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        yield np.zeros((1, 2, 4), np.float32)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        StateFile(tmp_path / "states", [2, 2], 4).write(parts())
    assert not list(tmp_path.iterdir())
