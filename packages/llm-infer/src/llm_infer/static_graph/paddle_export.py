"""From a model's weights to the files of its static graph; importing this imports paddle."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import paddle
from paddle.static import InputSpec

from llm_infer.quantize import GetWeight
from llm_infer.static_graph.folder import Graph, write_graph
from llm_infer.static_graph.paddle_graph import GraphDecoder, most_positions, position_channels
from llm_kernels.families import FamilySpec, ParameterKey, Sizes
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters


def export_graph(
    spec: FamilySpec, sizes: Sizes, weight: GetWeight, folder: Path, model_prefix: str
) -> Graph:
    """Write the graph, its parameters and its sizes into `folder`: <model_prefix>.json, .pdiparams.

    `weight` gives canonical parameters; quantized ones are written as floats.
    """

    def dense(key: ParameterKey) -> np.ndarray:
        value = weight(key)
        return np.asarray(value if isinstance(value, np.ndarray) else value.dequantize())

    paddle.set_device("cpu")
    decoder = Decoder(spec, sizes)
    load_parameters(decoder, dense)
    decoder.eval()
    graph = GraphDecoder(decoder)
    graph.eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        static = paddle.jit.to_static(graph, input_spec=_inputs(spec, sizes), full_graph=True)
        paddle.jit.save(static, str(folder / model_prefix))
    described = Graph(
        family=spec.name,
        layers=sizes.layers,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        value_dim=sizes.value_dim,
        vocab=sizes.vocab,
        max_positions=most_positions(spec, sizes) or sizes.max_positions,
        model_prefix=model_prefix,
    )
    write_graph(folder, described)
    return described


def _inputs(spec: FamilySpec, sizes: Sizes) -> list[InputSpec]:
    cache = [sizes.layers, None, sizes.kv_heads]
    inputs = [
        InputSpec([1, None], "int64", "input_ids"),
        InputSpec([1], "int64", "past_length"),
        InputSpec([*cache, sizes.head_dim], "float32", "past_keys"),
        InputSpec([*cache, sizes.value_dim], "float32", "past_values"),
    ]
    if channels := position_channels(spec):
        inputs.append(InputSpec([1, channels, None], "int64", "position_ids"))
    if spec.mask == "prefix":
        inputs.append(InputSpec([1], "int64", "prefix"))
    return inputs
