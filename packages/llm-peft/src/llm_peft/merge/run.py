"""`llm peft merge`: stream base and adapter into one model, then certify it before it appears."""

from __future__ import annotations

import logging
import time
from math import prod
from pathlib import Path

from llm_cli.console import console
from llm_cli.outputs import check_output_folder, lineage, written_folder
from llm_cli.progress import progress
from llm_convert.errors import AdapterError
from llm_convert.hub import hub_name, resolve_model
from llm_convert.layout import Layout
from llm_convert.lora import LoraAdapter, check_base, is_lora, merged, named_base, read_lora
from llm_convert.model import Model, copy_companions, open_model, save_model
from llm_convert.saving import Naming, written_dtype
from llm_convert.verify.certificate import LIMIT, streamed, write_certificate
from llm_peft.errors import BaseError, CertificateError
from llm_peft.merge.certificate import PASSES, Certificate, certify
from llm_peft.merge.options import MergeOptions

logger = logging.getLogger(__name__)


def merge(options: MergeOptions) -> None:
    """Merge as the options say and print what was written.

    Raises AdapterError for another base, BaseError for none, CertificateError when the result does
    not answer as base and adapter do, and llm_convert's errors for files that are not right;
    nothing is written then.
    """
    started = time.monotonic()
    check_output_folder(options.output_path, overwrite=options.overwrite)
    adapter_folder = Path(resolve_model(options.lora_path, from_aistudio=options.from_aistudio))
    if not is_lora(adapter_folder):
        state = "holds no LoRA adapter" if adapter_folder.is_dir() else "is no folder"
        message = (
            f"--lora_path {adapter_folder} {state}. Name the folder with lora_config.json or "
            "adapter_config.json."
        )
        raise AdapterError(message)
    base = open_model(_base_path(options, adapter_folder))
    adapter = read_lora(adapter_folder, base)
    if not check_base(adapter_folder, base, allow_other=options.allow_other_base):
        logger.info("%s does not say which weights its base had; shapes fit.", adapter_folder)
    inputs = {"model_name_or_path": str(base.path), "lora_path": options.lora_path}
    origin = lineage(command="peft merge", options=options, inputs=inputs)
    with written_folder(options.output_path, origin, overwrite=options.overwrite) as folder:
        _write(options, base, adapter, folder)
        copy_companions(base.path, folder)
        # What the adapter was trained with is what the merged model must be asked with.
        copy_companions(adapter_folder, folder)
        certificate = _certify(options, base, adapter, folder)
    _report(options, base, adapter, certificate, time.monotonic() - started)


def _base_path(options: MergeOptions, adapter: Path) -> str:
    """The base that was named, or that the adapter names."""
    if options.model_name_or_path is not None:
        return resolve_model(options.model_name_or_path, from_aistudio=options.from_aistudio)
    named = named_base(adapter)
    if named is not None and (Path(named).is_dir() or hub_name(named)):
        return resolve_model(named, from_aistudio=options.from_aistudio)
    message = (
        f"The adapter {adapter} names no base model that is here. Name its folder with "
        "--model_name_or_path."
    )
    raise BaseError(message)


def _write(options: MergeOptions, base: Model, adapter: LoraAdapter, folder: Path) -> None:
    types = {
        key: written_dtype(key, options.dtype) if options.dtype else base.dtype(key)
        for key in base.parameters
    }
    total = sum(prod(shape) * types[key].itemsize for key, shape in base.parameters.items())
    naming = naming_of(options, base)
    layout = Layout.of(base.spec, base.sizes, naming)
    with progress("merge", total=total, unit="B") as bar:
        save_model(
            folder,
            config=base.config,
            spec=base.spec,
            sizes=base.sizes,
            parameters=streamed(base, merged(base, adapter, types, layout)),
            naming=naming,
            dtype=types,
            max_shard_size=options.max_shard_size,
            without_prefix=base.without_prefix,
            repeats_head=base.repeats_head,
            written=bar.advance,
        )


def naming_of(options: MergeOptions, base: Model) -> Naming:
    """What the merged model is written in: what was asked for, or what the base is in."""
    return "hf" if (options.to or base.naming) == "hf" else "paddlenlp"


def _certify(
    options: MergeOptions, base: Model, adapter: LoraAdapter, folder: Path
) -> Certificate | None:
    """The certificate, written into `folder`; None where none was asked for."""
    small = sum(prod(shape) for shape in base.parameters.values()) < LIMIT
    if not options.verifies(small=small):
        return None
    with progress("certify", total=PASSES, unit="passes") as bar:
        certificate = certify(
            base,
            adapter,
            open_model(folder),
            tokens=options.verify_tokens,
            seed=options.seed,
            passed=bar.advance,
        )
    if not certificate.mean_kl <= options.max_kl:
        message = (
            f"The merged model is {certificate.mean_kl:.3g} nats (mean KL over "
            f"{certificate.tokens} tokens) away from base and adapter, more than --max_kl "
            f"{options.max_kl:g}. Nothing was written; a wider --dtype keeps more of the adapter."
        )
        raise CertificateError(message)
    write_certificate(folder, certificate.content())
    return certificate


def _report(
    options: MergeOptions,
    base: Model,
    adapter: LoraAdapter,
    certificate: Certificate | None,
    seconds: float,
) -> None:
    console.print(
        f"Wrote {options.output_path}: {base.spec.name} with {len(adapter.pairs)} linears merged "
        f"(rank {adapter.rank}, scaling {adapter.scaling:g}), {naming_of(options, base)} layout, "
        f"in {seconds:.1f} s."
    )
    if base.quantization is not None:
        linears = base.quantization.schemes
        types = {options.dtype} if options.dtype else {base.dtype(key).name for key in linears}
        console.print(
            f"{len(linears)} quantized linears of the base are written dequantized, in "
            f"{' and '.join(sorted(types))}; --dtype chooses another type."
        )
    if certificate is None:
        console.print("Not verified; --verify true does that.")
    else:
        console.print(
            f"Certificate over {certificate.tokens} random tokens: logits differ by at most "
            f"{certificate.max_abs_diff:.2g} (the adapter moved them by up to "
            f"{certificate.adapter_effect:.2g}), KL {certificate.mean_kl:.2g} nats, top-1 "
            f"agreement {certificate.top1_agreement:.1%}."
        )
