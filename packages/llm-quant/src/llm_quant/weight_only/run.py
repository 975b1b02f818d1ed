"""`llm quant weight-only`: round every linear to the nearest grid point, one at a time."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from llm_cli.console import console
from llm_cli.outputs import check_output_folder, lineage
from llm_cli.progress import progress
from llm_convert.hub import resolve_model
from llm_convert.verify.finite import check_finite
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.grid import Grid
from llm_quant.core.quantized import round_to_nearest
from llm_quant.output import REPORT_FILE, Outputs, open_dense, stored_dtype, write_model
from llm_quant.targets import quantized_linears
from llm_quant.weight_only.options import WeightOnlyOptions


def weight_only(options: WeightOnlyOptions) -> None:
    """Quantize `model_name_or_path` into `output_path`, in memory one linear at a time.

    Raises QuantError (and its kinds) and llm-convert's errors for inputs that do not fit.
    """
    path = Path(options.output_path)
    check_output_folder(
        path, overwrite=options.overwrite_output_dir, inputs=[options.model_name_or_path]
    )
    options.model_name_or_path = resolve_model(
        options.model_name_or_path, from_aistudio=options.from_aistudio
    )
    model = open_dense(options.model_name_or_path)
    linears = quantized_linears(
        model.spec, model.sizes, options.skip_list_names, options.group_size
    )
    scale_dtype = stored_dtype(model, linears)
    grid = Grid(options.bits, options.group_size, options.sym, options.mse, scale_dtype)
    inputs = {"model_name_or_path": options.model_name_or_path}
    outputs = Outputs(
        path,
        options.overwrite_output_dir,
        lineage(command="quant weight-only", options=options, inputs=inputs),
        options.verify,
        options.max_kl,
    )
    waiting = set(linears)
    with progress("weight-only", total=len(linears), unit="linears") as bar:

        def rounded(key: ParameterKey) -> Int4Weight | Int8Weight:
            weight = model.dense(key)
            check_finite(weight, model.path, f"weights {key.name}")
            packed = round_to_nearest(weight, grid).packed()
            model.release(key)
            # Where scales are stored apart from codes, saving asks for every weight twice;
            # rounding twice is cheaper than keeping a whole model in memory.
            if key in waiting:
                waiting.remove(key)
                bar.advance()
            return packed

        report = {"recipe": dataclasses.asdict(grid), "linears": [key.name for key in linears]}
        write_model(outputs, model, linears, grid, rounded, report)
    console.print(f"Wrote {path}; which linears were rounded is in {path / REPORT_FILE}.")
