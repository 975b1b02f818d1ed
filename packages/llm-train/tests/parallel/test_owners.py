"""Parameters are shared out evenly, and alike everywhere."""

from __future__ import annotations

from llm_train.parallel.owners import share_out


def test_ranks_hold_about_as_much() -> None:
    sizes = {f"w{number}": 10 * number for number in range(1, 20)}
    owners = share_out(sizes, 3)
    held = [sum(sizes[name] for name, owner in owners.items() if owner == r) for r in range(3)]
    assert set(owners) == set(sizes)
    assert max(held) - min(held) <= 40


def test_the_order_of_names_does_not_matter() -> None:
    sizes = {"a": 3, "b": 3, "c": 5, "d": 1}
    assert share_out(sizes, 2) == share_out(dict(reversed(sizes.items())), 2)
