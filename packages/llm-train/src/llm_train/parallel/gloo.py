"""What Paddle's gloo lacks, for processes on CPUs. On GPUs nothing here is used.

Paddle 3.0 and 3.3: gloo groups of one axis meet under the same keys of the store and mix up their
ranks, so every group gets a store of its own; there is no reduce-scatter (see `collectives`);
sending waits until the other side receives, so both sides must agree on an order (see `schedule`);
and who waits for half a minute fails, so processes `meet` where one of them may take longer.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from typing import Any

import paddle.distributed.collective as collective
from paddle.base import core

_SECONDS = 900
_SHORTEST, _LONGEST = 0.001, 0.05
_stores: list[Any] = []
_meetings = itertools.count()


def use_one_store_per_group() -> None:
    """Let every gloo group that is made from now on have a store of its own."""
    create = collective._new_process_group_impl
    if getattr(create, "one_store_per_group", False):
        return

    def with_own_store(
        backend: str, store: Any, rank: int, size: int, name: str, *rest: Any, **named: Any
    ) -> Any:
        first = name == collective._default_group_name
        if backend == "gloo" and size > 1 and not first:
            store = _own_store(store, rank, size, name)
        return create(backend, store, rank, size, name, *rest, **named)

    with_own_store.one_store_per_group = True  # type: ignore[attr-defined]
    collective._new_process_group_impl = with_own_store


def _own_store(store: Any, rank: int, size: int, name: str) -> Any:
    """A store for the group: its first rank opens a free port and says where in the common one."""
    # Every process counts every group, members or not, so a group's name is its own.
    key = f"llm_train/{name}"
    if rank == 0:
        port = _free_port()
        # Said before it is opened: opening it waits for the others.
        store.set(key, f"{_own_host()}:{port}")
        own = core.TCPStore(_own_host(), port, True, size, _SECONDS)
    else:
        host, port_text = bytes(store.get(key)).decode().rsplit(":", 1)
        own = core.TCPStore(host, int(port_text), False, size, _SECONDS)
    _stores.append(own)
    return own


def meet(processes: int) -> None:
    """Return when so many processes have called this as often as this one."""
    store = collective._default_store
    key = f"llm_train/meeting/{next(_meetings)}"
    come = store.add(key, 1)
    pause = _SHORTEST
    while come < processes:
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)
        come = store.add(key, 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _own_host() -> str:
    return (os.environ.get("PADDLE_CURRENT_ENDPOINT") or "127.0.0.1:0").rsplit(":", 1)[0]
