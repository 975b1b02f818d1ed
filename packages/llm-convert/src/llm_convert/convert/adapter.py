"""`llm convert` for adapters: Hugging Face PEFT's LoRA to PaddleNLP's, and back."""

from __future__ import annotations

import time
from pathlib import Path

from llm_cli.console import console
from llm_cli.outputs import lineage, written_folder
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.target import target_naming
from llm_convert.errors import AdapterError
from llm_convert.hub import hub_name, resolve_model
from llm_convert.lora import (
    adapter_naming,
    carried_sketch,
    read_lora,
    write_lora,
    write_peft,
    write_sketch,
)
from llm_convert.lora.reading import adapter_config
from llm_convert.model import copy_companions, open_model

_WRITERS = {"paddlenlp": write_lora, "hf": write_peft}


def convert_adapter(options: ConvertOptions, source: str) -> int:
    """Convert the adapter in the folder `source`; 0, the exit code.

    Of its base model little more is read than config.json and a few numbers of each adapted weight,
    which are kept beside the adapter so that another base is recognised later.

    Raises:
        AdapterError: no base model, an adapter that does not fit it, or one of another base.
        ConvertError: the adapter is not what the option says.
        UserError: output_path is not empty.
    """
    assert options.output_path is not None
    started = time.monotonic()
    target = target_naming(options, Path(source), str(adapter_naming(source)))
    config = adapter_config(source)
    named = options.base_model_name_or_path or config.get("base_model_name_or_path")
    model = open_model(_base(options, source, named))
    adapter = read_lora(source, model)
    carried = carried_sketch(source, model, adapter)
    inputs = {"source": source, "base_model_name_or_path": str(model.path)}
    origin = lineage(command="convert", options=options, inputs=inputs)
    with written_folder(options.output_path, origin, overwrite=options.overwrite) as folder:
        _WRITERS[target](
            folder,
            adapter,
            spec=model.spec,
            sizes=model.sizes,
            dtype=options.dtype,
            base_model_name_or_path=named,
            lora_dropout=float(config.get("lora_dropout") or 0.0),
        )
        write_sketch(folder, carried)
        copy_companions(source, folder)
    console.print(
        f"Wrote {options.output_path}: {model.spec.name} adapter of {len(adapter.pairs)} linears "
        f"(rank {adapter.rank}, scaling {adapter.scaling:g}), {target} layout, in "
        f"{time.monotonic() - started:.1f} s."
    )
    return 0


def _base(options: ConvertOptions, source: str, named: object) -> str:
    if isinstance(named, str) and (
        options.base_model_name_or_path or Path(named).is_dir() or hub_name(named)
    ):
        return resolve_model(named, from_aistudio=options.from_aistudio)
    message = (
        f"{source} holds an adapter, and names no base model that is here. Name it with "
        "--base_model_name_or_path."
    )
    raise AdapterError(message)
