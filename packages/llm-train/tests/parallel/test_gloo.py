"""What gloo lacks: a meeting that waits, and a store for every group. Runs are in groups/."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import paddle.distributed.collective as collective
import pytest

from llm_train.parallel import gloo
from llm_train.parallel.gloo import meet, use_one_store_per_group


class Store:
    """A store of counters, as `add` of Paddle's is."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, key: str, amount: int) -> int:
        self.counts[key] += amount
        return self.counts[key]


def test_who_comes_first_waits_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(collective, "_default_store", store)
    meet(1)
    (first,) = store.counts

    def come_late() -> None:
        time.sleep(0.1)
        (second,) = set(store.counts) - {first}
        store.add(second, 1)

    late = threading.Thread(target=come_late)
    began = time.monotonic()
    late.start()
    meet(2)
    assert time.monotonic() - began >= 0.1
    late.join()
    assert list(store.counts.values()) == [1, 2]


def test_later_groups_of_gloo_get_a_store_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []

    def create(*arguments: Any, **_: Any) -> str:
        made.append(arguments)
        return "group"

    monkeypatch.setattr(collective, "_new_process_group_impl", create)
    monkeypatch.setattr(gloo, "_own_store", lambda *_: "own")
    use_one_store_per_group()
    use_one_store_per_group()
    wrapped = collective._new_process_group_impl
    default = collective._default_group_name
    for backend, size, name in [
        ("gloo", 2, default), ("gloo", 2, "later"), ("gloo", 1, "alone"), ("nccl", 2, "later"),
    ]:  # fmt: skip
        assert wrapped(backend, "common", 0, size, name, None, group_id=3) == "group"
    assert [arguments[1] for arguments in made] == ["common", "own", "common", "common"]
