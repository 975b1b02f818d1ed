"""The work folder of a run: what is finished survives a kill, and the same command continues.

Beside the output, `OUTPUT.work/` holds `run.json` (all that the result depends on), `states-I.f32`
(the input of layer I) and `layer-I.npz` + `layer-I.json` (packed weights and what happened). A
layer counts as finished when the input of the next one is in place. Every file appears by
renaming. One run at a time holds the folder, by a lock on its file `lock`.

    work = WorkFolder(Path("out.work"), layers=32)
    with work.opened(plan, overwrite=False):
        work.save_layer(0, weights, outcomes)
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from llm_cli.outputs import written_file
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.errors import WorkFolderError

LOCK = "lock"
PLAN = "run.json"


class WorkFolder:
    """Finished layers and the states that feed the next one."""

    def __init__(self, path: Path, layers: int) -> None:
        """The folder `path` of a model of `layers` layers; nothing is touched before `opened`."""
        self.path = path
        self._layers = layers

    @contextmanager
    def opened(self, plan: Mapping[str, Any], *, overwrite: bool) -> Iterator[None]:
        """Hold the folder for a run of `plan`: names and values (JSON) that decide the result.

        Raises WorkFolderError when it is no work folder, when another run holds it, or (without
        `overwrite`) when it has unfinished work of another plan.
        """
        self._refuse_foreign()
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("wb") as lock:
            self._lock(lock)
            known = _recorded(self.path)
            if known is not None and known != plan and not overwrite:
                self._refuse_other_plan(known, plan)
            if known != plan:
                self._clear()
                _write_json(self.path / PLAN, plan)
            # A killed write leaves its temporary file, as large as the calibration states.
            for file in self.path.glob(".*.tmp"):
                file.unlink()
            yield

    def _clear(self) -> None:
        # States say what is finished, so they go first and the old plan last: wherever this is
        # killed, the folder is that of the old run, with less or nothing done.
        for pattern in ("states-*.f32", "layer-*", PLAN):
            for file in self.path.glob(pattern):
                file.unlink()

    def _refuse_foreign(self) -> None:
        if not self.path.exists():
            return
        if self.path.is_dir() and (
            _recorded(self.path) is not None
            or all(file.name == LOCK or file.match(".*.tmp") for file in self.path.iterdir())
        ):
            return
        message = (
            f"{self.path} is needed for unfinished work but holds something else. Move it away or "
            "choose another --output_path."
        )
        raise WorkFolderError(message)

    def _lock(self, lock: BinaryIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"Another run is writing {self.path}. Wait for it or stop it first."
            raise WorkFolderError(message) from error

    def _refuse_other_plan(self, known: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
        differ = sorted(key for key in {*plan, *known} if known.get(key) != plan.get(key))
        message = (
            f"{self.path} holds unfinished work of a run that differs in: {', '.join(differ)}. Run "
            "it as before to go on, add --overwrite_output_dir to start anew, or choose another "
            "--output_path."
        )
        raise WorkFolderError(message)

    def finished(self) -> int | None:
        """Layers that are finished, or None when not even the first layer's input is there."""
        number = max(
            (int(file.stem.removeprefix("states-")) for file in self.path.glob("states-*.f32")),
            default=None,
        )
        # Nothing reads the last layer's output: its record alone says that it is finished.
        last = number == self._layers - 1 and (self.path / f"layer-{number}.json").is_file()
        return self._layers if last else number

    def states_path(self, layer: int) -> Path:
        """Where the input of layer `layer` is, or is to be written."""
        return self.path / f"states-{layer}.f32"

    def save_layer(
        self,
        layer: int,
        weights: Mapping[ParameterKey, Int4Weight | Int8Weight],
        outcomes: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Keep the packed weights of a layer and the record of each."""
        arrays: dict[str, np.ndarray] = {}
        for key, weight in weights.items():
            arrays |= {f"{key.name}:{part}": array for part, array in _parts(weight).items()}
        with written_file(self.path / f"layer-{layer}.npz") as stream:
            np.savez(stream, **arrays)
        _write_json(self.path / f"layer-{layer}.json", outcomes)

    def drop_states(self, layer: int) -> None:
        """Delete the input of a finished layer."""
        self.states_path(layer).unlink(missing_ok=True)

    def weight(self, key: ParameterKey) -> Int4Weight | Int8Weight:
        """The packed weight of a finished layer."""
        with np.load(self.path / f"layer-{key.layer}.npz") as file:
            prefix = f"{key.name}:"
            parts = {n.removeprefix(prefix): file[n] for n in file.files if n.startswith(prefix)}
        if "codes" in parts:
            return Int8Weight(codes=parts["codes"], scales=parts["scales"])
        columns, groups = parts["packed"].shape[1] * 2, parts["scales"].shape[1]
        return Int4Weight(
            packed=parts["packed"],
            scales=parts["scales"],
            zeros=parts.get("zeros"),
            group_size=columns // groups,
        )

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """The records of the linears of all layers, which must be finished."""
        merged: dict[str, dict[str, Any]] = {}
        for layer in range(self._layers):
            text = (self.path / f"layer-{layer}.json").read_text(encoding="utf-8")
            merged |= json.loads(text)
        return merged

    def remove(self) -> None:
        """Delete the folder, once the output is in place."""
        self._clear()
        shutil.rmtree(self.path)


def _parts(weight: Int4Weight | Int8Weight) -> dict[str, np.ndarray]:
    if isinstance(weight, Int8Weight):
        return {"codes": weight.codes, "scales": weight.scales}
    parts: dict[str, np.ndarray] = {"packed": weight.packed, "scales": weight.scales}
    if weight.zeros is not None:
        parts["zeros"] = weight.zeros
    return parts


def _recorded(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((path / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with written_file(path) as stream:
        stream.write(json.dumps(content, indent=1).encode() + b"\n")
