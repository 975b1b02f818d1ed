"""Runs `llm infer export`."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from llm_cli.outputs import check_output_folder, lineage, written_folder
from llm_cli.progress import scaled
from llm_convert.hub import resolve_model
from llm_convert.model import CONFIG_FILE, copy_companions, open_model
from llm_infer.errors import UnsupportedError
from llm_infer.export.options import ExportOptions
from llm_infer.load import need_paddle, with_adapter

logger = logging.getLogger(__name__)


def export(options: ExportOptions) -> None:
    """Write what the options ask for; nothing is written when anything about it is wrong."""
    if options.inference_model:
        message = (
            "This version writes no packed bundle for the native engine; it packs the weights when "
            "it loads them. Add --inference_model false for a Paddle static graph."
        )
        raise UnsupportedError(message)
    check_output_folder(options.output_path, overwrite=options.overwrite)
    need_paddle("--inference_model false")
    model = open_model(
        resolve_model(options.model_name_or_path, from_aistudio=options.from_aistudio)
    )
    weight = with_adapter(model, options.lora_path) if options.lora_path else model.weight
    inputs = {"model_name_or_path": str(model.path)}
    if options.lora_path:
        inputs["lora_path"] = options.lora_path
    origin = lineage(command="infer export", options=options, inputs=inputs)

    from llm_kernels.paddle.environment import prepare

    prepare()
    from llm_infer.static_graph.paddle_export import export_graph

    with written_folder(options.output_path, origin, overwrite=options.overwrite) as folder:
        export_graph(model.spec, model.sizes, weight, folder, options.model_prefix)
        config = {key: value for key, value in model.config.items() if key != "quantization_config"}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        copy_companions(model.path, folder)
    size = (Path(options.output_path) / f"{options.model_prefix}.pdiparams").stat().st_size
    logger.info(
        "%s: a Paddle static graph of %s; run it with --mode static --inference_model false",
        options.output_path,
        scaled(size, "B"),
    )
