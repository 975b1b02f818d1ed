"""The control groups that bind this process: its own and all above it, in both versions of them.

A limit may stand at any of them: systemd writes MemoryMax into the group of the service, and a
container sees its own group as the top. What a limit means is for who reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def folders(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Folders of the groups of this process for `controller` (cpu, memory), outermost first.

    `root` is where proc and sys are mounted. Folders may lack files of the controller, or be absent
    where only a part of the tree is mounted.
    """
    for mounted, group in _hierarchies(controller, root):
        inner = [part for part in group.split("/") if part not in ("", "..")]
        for depth in range(len(inner) + 1):
            yield mounted.joinpath(*inner[:depth])


def read(path: Path) -> str:
    """The text of a file of proc or sys without spaces around it; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _hierarchies(controller: str, root: Path) -> list[tuple[Path, str]]:
    """Where a hierarchy with the controller is mounted, and this process's group in it."""
    mounted = root / "sys/fs/cgroup"
    found = []
    for line in read(root / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, _, group = named.partition(":")
        if not controllers:
            found.append((mounted, group))
        elif controller in controllers.split(","):
            # Mounted as "cpu,cpuacct", with "cpu" as a link or alone.
            found.extend((mounted / name, group) for name in sorted({controllers, controller}))
    return found
