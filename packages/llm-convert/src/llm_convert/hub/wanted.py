"""Which files of a repository make a model."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from llm_convert.files.folder import INDEX_SUFFIX, WEIGHT_FILES, find_weights, plain_name
from llm_convert.files.json_file import read_json
from llm_convert.saving import COMPANIONS

CONFIGS = ("config.json", "adapter_config.json", "lora_config.json")
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin", "lora_model_state.pdparams")


def small_files(names: Iterable[str]) -> list[str]:
    """Configuration and tokenizer files among `names`; nothing in sub-folders."""
    patterns = (*CONFIGS, *COMPANIONS)
    return sorted(
        name
        for name in names
        if "/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns)
    )


def weight_file(names: Iterable[str]) -> str | None:
    """The preferred weights among `names`: a file, or the index of several."""
    have = set(names)
    kinds = [kind for name in WEIGHT_FILES for kind in (name, name + INDEX_SUFFIX)]
    return next((kind for kind in (*kinds, *ADAPTER_FILES) if kind in have), None)


def shards_of(index: Path) -> list[str]:
    """The files that an index names, without those that it may not name."""
    weight_map = read_json(index).get("weight_map")
    names = set(weight_map.values()) if isinstance(weight_map, dict) else set()
    return sorted(name for name in names if plain_name(name))


def missing_files(folder: Path) -> list[str]:
    """What a folder that was loaded in part still lacks."""
    if not any((folder / name).is_file() for name in CONFIGS):
        return [CONFIGS[0]]
    found = find_weights(folder)
    if found is None:
        adapter = any((folder / name).is_file() for name in ADAPTER_FILES)
        return [] if adapter else [WEIGHT_FILES[0]]
    shards = shards_of(found.path) if found.sharded else []
    return [name for name in shards if not (folder / name).is_file()]
