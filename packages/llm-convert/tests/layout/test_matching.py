from __future__ import annotations

import pytest

from llm_convert.errors import TensorMismatchError
from llm_convert.layout.matching import SHOWN, check, folded
from llm_convert.layout.stored import StoredTensor


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["norm.weight"], ["norm.weight"]),
        (["h.3.w1.weight"], ["h.3.w1.weight"]),
        (["h.0.w", "h.1.w", "h.2.w", "h.7.w"], ["h.{0-2,7}.w"]),
        (["h.0.a", "h.0.b", "h.1.a"], ["h.{0-1}.a", "h.0.b"]),
        (["h.0.experts.1.w", "h.0.experts.5.w"], ["h.0.experts.{1,5}.w"]),
        (["h.0.experts.1.w", "h.1.experts.0.w"], ["h.*.experts.*.w (2 of them)"]),
        (["h.1.w is [2, 3]", "h.2.w is [2, 3]"], ["h.{1-2}.w is [2, 3]"]),
    ],
)
def test_folding(names: list[str], expected: list[str]) -> None:
    assert folded(names) == expected


def test_what_is_left_out_is_counted() -> None:
    tensors = {f"part{n}.weight": StoredTensor(f"part{n}.weight", (), (1,)) for n in range(30)}
    with pytest.raises(TensorMismatchError, match=rf"30 missing: .* and {30 - SHOWN} more kinds"):
        check(tensors, {}, {}, [], "a model")


def test_nothing_wrong_is_no_error() -> None:
    tensors = {"a.weight": StoredTensor("a.weight", (), (2, 3))}
    check(tensors, {"a.weight": "a.weight"}, {"a.weight": (2, 3)}, [], "a model")
