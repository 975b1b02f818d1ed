"""Which layout a conversion writes, and whether its source is what the user said it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from llm_convert.convert.options import ConvertOptions
from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import FLOATING
from llm_convert.names import checkpoints
from llm_convert.quantization import Quantization
from llm_convert.quantization.scheme import BLOCKS
from llm_convert.saving import Naming
from llm_kernels.families import FamilySpec

Target: TypeAlias = Literal["hf", "paddlenlp", "gguf"]
_TARGETS = get_args(Target)

_SOURCES: Mapping[str, str] = MappingProxyType(
    {"from_torch": "hf", "to_torch": "paddlenlp", "from_meta": "meta", "gguf": "gguf"}
)
"""Option that names a source -> the naming that it stands for."""


def expected_naming(options: ConvertOptions) -> Naming:
    """The naming, of the two that one option turns into the other."""
    return "hf" if options.from_torch else "paddlenlp"


def target_of(options: ConvertOptions, path: Path, naming: str) -> Target:
    """The layout to write for a model found to be in `naming`.

    Raises ConvertError where the source is not what the option that named it says.
    """
    (stated,) = (_SOURCES[name] for name in _SOURCES if getattr(options, name) is not None)
    if naming != stated:
        named = {found: name for name, found in _SOURCES.items()}
        message = f"{path} holds {naming} names, not {stated} ones. Name it with --{named[naming]}."
        raise ConvertError(message)
    target = options.to or ("hf" if options.to_torch else "paddlenlp")
    return "hf" if target == "hf" else "gguf" if target == "gguf" else "paddlenlp"


def check_packed(options: ConvertOptions, path: Path, quantization: Quantization) -> None:
    """Refuse to write the quantized weights in `path` as they are where no layout holds them.

    Raises ConvertError for PaddleNLP's, and for those that are read only.
    """
    forms = {scheme.form for scheme in quantization.schemes.values()}
    if options.dtype is None and BLOCKS in forms:
        message = (
            f"{path} holds weights in {BLOCKS}, which are read and run, and never written. Choose "
            "a type with --dtype: bfloat16 is what they were made from, float8 has a scale an "
            "output."
        )
        raise ConvertError(message)
    if options.dtype is None and not (options.from_torch and options.to == "hf"):
        message = (
            f"{path} holds quantized weights, which are in Hugging Face's layout already and stay "
            "in it; every command here reads them. To dequantize them, add --dtype to --from_torch."
        )
        raise ConvertError(message)


def check_plain(options: ConvertOptions, path: Path) -> None:
    """Refuse what encoders and adapters cannot become. Raises ConvertError."""
    if options.to == "gguf":
        message = f"{path} cannot become GGUF: only decoder models can. Leave out --to gguf."
        raise ConvertError(message)
    if options.dtype is not None and options.dtype not in FLOATING:
        message = (
            f"--dtype is {options.dtype}, but {path} is no decoder model; encoders and adapters "
            f"can be {', '.join(FLOATING)}."
        )
        raise ConvertError(message)


def target_naming(options: ConvertOptions, path: Path, naming: str) -> Naming:
    """The same for encoders and adapters, once `check_plain` has passed. Raises as `target_of`."""
    target = target_of(options, path, naming)
    assert target != "gguf", options
    return target


def check_table(spec: FamilySpec, target: Target) -> None:
    """Refuse a family that the files of `target` cannot hold. Raises ConvertError."""
    tables = checkpoints(spec)
    if target not in tables:
        able = ", ".join(name for name in _TARGETS if name in tables)
        message = f"--to {target} cannot hold the family {spec.name}; choose one of {able}."
        raise ConvertError(message)
