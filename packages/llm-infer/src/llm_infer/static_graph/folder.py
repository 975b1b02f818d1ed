"""What whoever runs an exported graph must know of it, in a file beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_infer.errors import InferError

GRAPH_FILE = "static_graph.json"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The sizes that whoever runs the graph needs, all else is in it."""

    family: str
    layers: int
    kv_heads: int
    head_dim: int
    value_dim: int
    vocab: int
    max_positions: int
    """0: no limit is known."""
    model_prefix: str
    """Stem of the graph's files."""


def write_graph(folder: Path, graph: Graph) -> None:
    """Write the sizes beside a graph."""
    (folder / GRAPH_FILE).write_text(json.dumps(asdict(graph), indent=2) + "\n", encoding="utf-8")


def read_graph(folder: Path, model_prefix: str) -> Graph:
    """The sizes of the graph in a folder. Raises InferError where there is none."""
    files = [GRAPH_FILE, f"{model_prefix}.json", f"{model_prefix}.pdiparams"]
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        message = (
            f"{folder} holds no exported graph: {', '.join(missing)} is missing. Write one with "
            f"`llm infer export --inference_model false --output_path {folder}`, or name its stem "
            "with --model_prefix."
        )
        raise InferError(message)
    try:
        content = json.loads((folder / GRAPH_FILE).read_text(encoding="utf-8"))
        return Graph(**content)
    except (OSError, ValueError, TypeError) as error:
        message = f"{folder / GRAPH_FILE} cannot be read: {error}. Export the model again."
        raise InferError(message) from error
