"""`llm quant gptq`: from options to a quantized model folder."""

from __future__ import annotations

import dataclasses
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.lineage import fingerprint
from llm_cli.outputs import check_output_folder, lineage
from llm_cli.progress import progress
from llm_convert.hub import resolve_model
from llm_convert.model import Model
from llm_kernels.families import ParameterKey
from llm_quant.checks import model_length
from llm_quant.core.grid import Grid
from llm_quant.core.linear import Outcome, Recipe
from llm_quant.layerwise.calibration import check_vocabulary, pretrain_samples, sft_samples
from llm_quant.layerwise.options import GptqOptions
from llm_quant.layerwise.work import WorkFolder
from llm_quant.output import (
    Outputs,
    open_dense,
    show,
    storage,
    stored_dtype,
    summarize,
    write_model,
)
from llm_quant.targets import quantized_linears

_SETTINGS = (
    "bits",
    "group_size",
    "sym",
    "mse",
    "skip_list_names",
    "percdamp",
    "actorder",
    "block",
    "batch_size",
)
"""Options of the arithmetic; the others choose the model, the calibration tokens or the output."""


def gptq(options: GptqOptions) -> None:
    """Quantize `model_name_or_path` into `output_path`.

    Raises QuantError (and its kinds) and llm-convert's and llm-data's errors for inputs that do
    not fit; an interrupted run continues from its work folder when repeated with the same options.
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
    recipe = _recipe(options, stored_dtype(model, linears))
    storage(model, linears, recipe.grid)
    length = model_length("max_length", options.max_length, model.sizes.max_positions)
    samples = _samples(options, length)
    check_vocabulary(samples, model.sizes.vocab)
    work = WorkFolder(path.with_name(path.name + ".work"), model.sizes.layers)
    with work.opened(_plan(options, samples), overwrite=options.overwrite_output_dir):
        _quantize(model, tuple(linears), samples, recipe, work, options.batch_size)
        records = work.outcomes()
        report = {
            "recipe": dataclasses.asdict(recipe),
            "calibration": {"samples": len(samples), "tokens": sum(s.size for s in samples)},
            "summary": summarize(records),
            "linears": records,
        }
        write_model(_outputs(options), model, linears, recipe.grid, work.weight, report)
        work.remove()
    show(path, records)


def _outputs(options: GptqOptions) -> Outputs:
    inputs = {
        "model_name_or_path": options.model_name_or_path,
        "dataset_name_or_path": options.dataset_name_or_path,
        "input_dir": options.input_dir,
    }
    return Outputs(
        Path(options.output_path),
        options.overwrite_output_dir,
        lineage(command="quant gptq", options=options, inputs=inputs),
        options.verify,
        options.max_kl,
    )


def _samples(options: GptqOptions, length: int) -> list[np.ndarray]:
    count = options.gptq_step * options.batch_size
    if options.input_dir is not None:
        return pretrain_samples(options.input_dir, options.split, length, count, options.seed)
    assert options.dataset_name_or_path is not None
    return sft_samples(
        options.dataset_name_or_path,
        options.model_name_or_path,
        chat_template=options.chat_template,
        src_length=options.src_length or length // 2,
        max_length=length,
        count=count,
        seed=options.seed,
    )


def _recipe(options: GptqOptions, scale_dtype: np.dtype) -> Recipe:
    grid = Grid(options.bits, options.group_size, options.sym, options.mse, scale_dtype)
    return Recipe(grid, options.percdamp, options.actorder, options.block)


def _quantize(
    model: Model,
    linears: tuple[ParameterKey, ...],
    samples: list[np.ndarray],
    recipe: Recipe,
    work: WorkFolder,
    batch_size: int,
) -> None:
    # Paddle takes seconds to import; wrong options should not wait for it.
    from llm_kernels.paddle.environment import prepare

    prepare()
    from llm_quant.layerwise.passes import LayerwisePass

    finished = work.finished() or 0
    walk = LayerwisePass(model, linears, samples, recipe, work, batch_size=batch_size)
    with progress("gptq", total=len(linears), unit="linears") as bar:
        if finished:
            bar.resume_at(sum(key.layer is not None and key.layer < finished for key in linears))

        def done(key: ParameterKey, outcome: Outcome) -> None:
            bar.note(f"{key.name.removesuffix('.weight')} {_short(outcome)}")
            bar.advance()

        walk.run(done)


def _short(outcome: Outcome) -> str:
    if outcome.error is None or outcome.rtn_error is None:
        return outcome.method
    return f"error {outcome.error:.4f} ({outcome.rtn_error:.4f} by rounding)"


def _plan(options: GptqOptions, samples: list[np.ndarray]) -> dict[str, Any]:
    """All that the result depends on; runs of equal plans compute the same."""
    tokens = hashlib.sha256()
    for sample in samples:
        tokens.update(np.ascontiguousarray(sample, dtype=np.int64).tobytes())
    return {
        "version of llm-quant": version("llm-toolchain-quant"),
        "model": fingerprint(options.model_name_or_path),
        "calibration tokens": tokens.hexdigest(),
        "calibration samples": [sample.size for sample in samples],
        **{f"--{name}": getattr(options, name) for name in _SETTINGS},
    }
