"""The work folder of a run: what is finished survives a kill, and the same command continues.

Beside the output, `OUTPUT.work/` holds `run.json` (a fingerprint of model, options and
calibration), `states-I.f32` (the input of layer I) and `layer-I.npz` + `layer-I.json` (packed
weights and what happened). A layer counts as finished when the input of the next one is in place.
Every file appears by renaming. A folder of another run is started anew.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.outputs import written_file
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.errors import WorkFolderError

logger = logging.getLogger(__name__)


class WorkFolder:
    """Finished layers and the states that feed the next one."""

    def __init__(self, path: Path, fingerprint: str, layers: int) -> None:
        """Open the folder of the same run (`fingerprint`) over `layers` layers, or start one.

        Raises WorkFolderError when `path` exists and is no work folder.
        """
        self.path = path
        self._layers = layers
        if path.exists() and _recorded(path) != fingerprint:
            if not path.is_dir() or (any(path.iterdir()) and _recorded(path) is None):
                message = (
                    f"{path} is needed for unfinished work but holds something else. Move it "
                    "away or choose another --output_path."
                )
                raise WorkFolderError(message)
            logger.info("Work of another run in %s is discarded.", path)
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        _write_json(path / "run.json", {"fingerprint": fingerprint})

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
        shutil.rmtree(self.path)


def _parts(weight: Int4Weight | Int8Weight) -> dict[str, np.ndarray]:
    if isinstance(weight, Int8Weight):
        return {"codes": weight.codes, "scales": weight.scales}
    parts: dict[str, np.ndarray] = {"packed": weight.packed, "scales": weight.scales}
    if weight.zeros is not None:
        parts["zeros"] = weight.zeros
    return parts


def _recorded(path: Path) -> str | None:
    try:
        content = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = content.get("fingerprint") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with written_file(path) as stream:
        stream.write(json.dumps(content, indent=1).encode() + b"\n")
