"""`llm convert` for encoders: the same command, by their own tables."""

from __future__ import annotations

import time
from pathlib import Path

from llm_cli.outputs import lineage, written_folder
from llm_cli.progress import progress
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.report import peak_memory, report
from llm_convert.convert.target import expected_naming, target_naming
from llm_convert.encoders import Found, open_encoder, planned_bytes, save_encoder
from llm_convert.model import copy_companions, read_config


def convert_encoder(options: ConvertOptions, source: str, found: Found) -> int:
    """Convert an encoder as the options say and print what was written; the exit code, 0.

    Raises:
        ConvertError: the source is not what the option says, or does not fit its config.json.
        UserError: output_path is not empty.
    """
    assert options.output_path is not None
    started = time.monotonic()
    checkpoint = open_encoder(source, read_config(Path(source)), found, expected_naming(options))
    target = target_naming(options, checkpoint.path, checkpoint.naming)
    with (
        written_folder(
            options.output_path,
            lineage(command="convert", options=options, inputs={"source": source}),
            overwrite=options.overwrite,
        ) as folder,
        progress("convert", total=planned_bytes(checkpoint, options.dtype), unit="B") as bar,
    ):
        save_encoder(
            folder,
            checkpoint,
            naming=target,
            dtype=options.dtype,
            max_shard_size=options.max_shard_size,
            written=bar.advance,
        )
        companions = copy_companions(source, folder)
    report(
        options,
        what=found.hub_class,
        shapes={name: checkpoint.files.info(name) for name in checkpoint.stored.values()},
        target=target,
        companions=companions,
        peak=peak_memory(),
        seconds=time.monotonic() - started,
    )
    return 0
