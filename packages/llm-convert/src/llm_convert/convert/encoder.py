"""`llm convert` for encoders: the same command, by their own tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from llm_cli.console import console
from llm_cli.outputs import lineage, written_folder
from llm_cli.progress import progress
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.readback import Held, certify_tensors, said
from llm_convert.convert.report import peak_memory, report
from llm_convert.convert.target import check_plain, expected_naming, target_naming
from llm_convert.encoders import (
    EncoderCheckpoint,
    Found,
    find_encoder,
    open_encoder,
    planned_bytes,
    save_encoder,
)
from llm_convert.model import copy_companions, read_config


def convert_encoder(options: ConvertOptions, source: str, found: Found) -> int:
    """Convert an encoder as the options say and print what was written; the exit code, 0.

    Raises:
        ConvertError: the source is not what the option says, or does not fit its config.json,
            or what was written is not it.
        UserError: output_path is not empty.
    """
    assert options.output_path is not None
    started = time.monotonic()
    check_plain(options, Path(source))
    checkpoint = open_encoder(source, read_config(Path(source)), found, expected_naming(options))
    target = target_naming(options, checkpoint.path, checkpoint.naming)
    origin = lineage(command="convert", options=options, inputs={"source": source})
    with written_folder(options.output_path, origin, overwrite=options.overwrite) as folder:
        planned = planned_bytes(checkpoint, options.dtype)
        with progress("convert", total=planned, unit="B") as bar:
            save_encoder(
                folder,
                checkpoint,
                naming=target,
                dtype=options.dtype,
                max_shard_size=options.max_shard_size,
                written=bar.advance,
            )
        companions = copy_companions(source, folder)
        peak = peak_memory()
        certificate = certify_tensors(options, folder, _held(checkpoint, folder, target))
    report(
        options,
        what=found.hub_class,
        shapes={name: checkpoint.files.info(name) for name in checkpoint.stored.values()},
        target=target,
        companions=companions,
        peak=peak,
        seconds=time.monotonic() - started,
    )
    console.print(said(certificate))
    return 0


def _held(source: EncoderCheckpoint, folder: Path, naming: str) -> Iterator[Held]:
    """Every tensor that the files in `folder` hold, beside the one of the source it repeats."""
    config = read_config(folder)
    found = find_encoder(config)
    assert found is not None, config
    result = open_encoder(folder, config, found, naming)
    for entry in result.entries:
        if entry not in result:
            continue
        origin = entry if entry in source else source.named(entry.tied)
        layout = result.naming if origin == entry else "hf"
        yield Held(result.name(entry), source.read(origin, layout), result.read(entry, layout))
        source.files.release(source.stored[source.name(origin)])
        result.files.release(result.stored[result.name(entry)])
