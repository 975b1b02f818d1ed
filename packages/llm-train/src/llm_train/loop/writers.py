"""Where the figures of metrics.jsonl go besides: TensorBoard's and VisualDL's files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from llm_train.errors import RecipeError
from llm_train.loop.events import EventWriter

FOLDERS = {"tensorboard": "tensorboard", "visualdl": "visualdl"}


class Writer(Protocol):
    """Takes the scalars of a step."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a step."""

    def close(self) -> None:
        """Close the file."""


class VisualWriter:
    """VisualDL's log in `folder`."""

    def __init__(self, folder: Path) -> None:
        from visualdl import LogWriter

        self._log: Any = LogWriter(logdir=str(folder))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the scalars of a step."""
        for name, value in values.items():
            self._log.add_scalar(tag=name, step=step, value=value)

    def close(self) -> None:
        """Close the file."""
        self._log.close()


def make_writers(report_to: str, output_dir: Path) -> list[Writer]:
    """The writers of "none", "tensorboard", "visualdl" or "all", in folders of `output_dir`.

    Raises RecipeError where VisualDL is wanted and not installed.
    """
    wanted = set(FOLDERS) if report_to == "all" else {report_to} - {"none"}
    if "visualdl" in wanted and find_spec("visualdl") is None:
        message = (
            "--report_to visualdl: VisualDL is not installed. Install it (pip install visualdl), "
            "or use tensorboard, whose files are written without TensorBoard."
        )
        raise RecipeError(message)
    writers: list[Writer] = []
    if "tensorboard" in wanted:
        writers.append(EventWriter(output_dir / FOLDERS["tensorboard"]))
    if "visualdl" in wanted:
        writers.append(VisualWriter(output_dir / FOLDERS["visualdl"]))
    return writers


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """A line of metrics.jsonl as tags: train/loss, eval/loss."""
    tagged = {}
    for name, value in row.items():
        if name == "step":
            continue
        kind, _, rest = name.partition("_")
        tag = f"{kind}/{rest}" if kind in ("eval", "test") else f"train/{name}"
        tagged[tag] = float(value)
    return tagged
