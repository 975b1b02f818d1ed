"""`llm train merge-tp`: streams shards into whole weights, or whole weights into shards."""

from __future__ import annotations

import time
from pathlib import Path

from llm_cli.adding import added_files
from llm_cli.console import console
from llm_cli.outputs import check_output_folder, lineage, written_folder
from llm_cli.progress import progress
from llm_convert.hub import resolve_model
from llm_convert.model import CONFIG_FILE, Model, copy_companions, open_model
from llm_convert.parallel.merging import MergedShards
from llm_convert.parallel.writing import merge_model, split_bytes, split_model
from llm_convert.verify.certificate import Certificate, certified, said
from llm_train.errors import RecipeError
from llm_train.merge_tp.options import MergeTpOptions

_SEEN = "model.safetensors*"
"""The file or index by which a folder holds whole weights, whatever else is there."""


def merge_tp(options: MergeTpOptions) -> None:
    """Merge or split as the options say and print what was written.

    Raises RecipeError for weights that are whole already, and llm_convert's errors for shards that
    are not right, or that so many ranks cannot share; nothing is written then.
    """
    started = time.monotonic()
    if options.output_path is not None:
        check_output_folder(options.output_path, overwrite=options.overwrite)
    path = resolve_model(options.model_name_or_path, from_aistudio=options.from_aistudio)
    model = open_model(path)
    if not options.splits and not isinstance(model.files, MergedShards):
        message = (
            f"{model.path} holds whole weights already ({model.files.path.name}); a unified "
            "checkpoint needs no merging. Use the folder as it is, or split it with "
            "--tensor_parallel_degree."
        )
        raise RecipeError(message)
    written, certificate = (_split if options.splits else _merge)(options, model)
    console.print(
        f"Wrote {written}: {model.spec.name}, {len(model.files)} tensors, in "
        f"{time.monotonic() - started:.1f} s."
    )
    console.print(said(certificate) if certificate else "Not verified; --verify true does that.")


def _merge(options: MergeTpOptions, model: Model) -> tuple[str, Certificate | None]:
    total = sum(model.files.info(name).nbytes for name in model.files)
    if options.output_path is None:
        with (
            added_files(model.path, last=_SEEN) as folder,
            progress("merge", total=total, unit="B") as bar,
        ):
            merge_model(model, folder, max_shard_size=options.max_shard_size, written=bar.advance)
            certificate = _certified(options, model, folder)
            (folder / CONFIG_FILE).unlink()  # The shards' own stays as it is.
        return f"whole weights into {model.path}", certificate
    with (
        written_folder(
            options.output_path, _origin(options, model), overwrite=options.overwrite
        ) as folder,
        progress("merge", total=total, unit="B") as bar,
    ):
        merge_model(model, folder, max_shard_size=options.max_shard_size, written=bar.advance)
        copy_companions(model.path, folder)
        certificate = _certified(options, model, folder)
    return f"{options.output_path}, whole weights", certificate


def _split(options: MergeTpOptions, model: Model) -> tuple[str, Certificate | None]:
    assert options.output_path is not None
    total = split_bytes(model, tensor=options.tensor_parallel_degree)
    with (
        written_folder(
            options.output_path, _origin(options, model), overwrite=options.overwrite
        ) as folder,
        progress("split", total=total, unit="B") as bar,
    ):
        names = split_model(
            model,
            folder,
            tensor=options.tensor_parallel_degree,
            pipeline=options.pipeline_parallel_degree,
            ending=options.shard_format,
            written=bar.advance,
        )
        copy_companions(model.path, folder)
        certificate = _certified(options, model, folder)
    written = f"{options.output_path}, {len(names)} shards ({names[0]} to {names[-1]})"
    return written, certificate


def _certified(options: MergeTpOptions, model: Model, folder: Path) -> Certificate | None:
    return certified(model, folder, wanted=options.verified, max_kl=options.max_kl)


def _origin(options: MergeTpOptions, model: Model) -> dict[str, object]:
    inputs = {"model_name_or_path": str(Path(model.path))}
    return lineage(command="train merge-tp", options=options, inputs=inputs)
