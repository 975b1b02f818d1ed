"""Runs `llm infer export`."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from llm_cli.outputs import check_output_folder, lineage, written_folder
from llm_cli.progress import progress, scaled
from llm_convert.hub import resolve_model
from llm_convert.model import CONFIG_FILE, Model, copy_companions, open_model
from llm_infer.export.options import ExportOptions
from llm_infer.load import need_paddle
from llm_infer.settings import Precision
from llm_infer.weights import chosen_weights, head_converter

logger = logging.getLogger(__name__)


def export(options: ExportOptions) -> None:
    """Write what the options ask for; nothing is written when anything about it is wrong."""
    check_output_folder(options.output_path, overwrite=options.overwrite)
    if not options.inference_model:
        need_paddle("--inference_model false")
    model = open_model(
        resolve_model(options.model_name_or_path, from_aistudio=options.from_aistudio)
    )
    inputs = {"model_name_or_path": str(model.path)}
    if options.lora_path:
        inputs["lora_path"] = options.lora_path
    origin = lineage(command="infer export", options=options, inputs=inputs)
    with written_folder(options.output_path, origin, overwrite=options.overwrite) as folder:
        write = _write_bundle if options.inference_model else _write_graph
        told = write(options, model, folder)
        config = {key: value for key, value in model.config.items() if key != "quantization_config"}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        copy_companions(model.path, folder)
    logger.info("%s: %s", options.output_path, told)


def _write_bundle(options: ExportOptions, model: Model, folder: Path) -> str:
    from llm_infer.bundle.writing import write_bundle

    precision = options.precision()
    weight = chosen_weights(model, precision, options.lora_path)
    head = head_converter(model, precision)
    with progress("packing", total=len(model.parameters), unit="weights") as bar:
        size = write_bundle(model.spec, model.sizes, weight, folder, head=head, advance=bar.advance)
    return f"a packed bundle of {scaled(size, 'B')}; run it with --mode static"


def _write_graph(options: ExportOptions, model: Model, folder: Path) -> str:
    from llm_kernels.paddle.environment import prepare

    weight = chosen_weights(model, Precision(), options.lora_path)
    prepare()
    from llm_infer.static_graph.paddle_export import export_graph

    export_graph(model.spec, model.sizes, weight, folder, options.model_prefix)
    size = (folder / f"{options.model_prefix}.pdiparams").stat().st_size
    return (
        f"a Paddle static graph of {scaled(size, 'B')}; run it with --mode static "
        "--inference_model false"
    )
