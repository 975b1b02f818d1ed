"""Write the inputs that the fuzzing starts from: `python make_corpus.py`.

`plain-*` are well formed; `hostile-*` are what an attacker would write. Findings (`found-*`) are
added by `run.py` and stay.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from fuzz_targets import CORPUS, GOLDEN
from safetensors.numpy import save

from llm_convert.tokenizers import Kind, Vocabulary
from llm_convert.tokenizers.byte_level import byte_level_json
from llm_convert.tokenizers.sentencepiece import sentencepiece_bytes

Files = dict[str, bytes]
FLOATS = np.arange(12, dtype=np.float32)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Array:
    """Pickles as a NumPy array of any shape."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __reduce__(self) -> Any:
        function, arguments, state = FLOATS.__reduce__()
        return function, arguments, (state[0], self.shape, *state[2:])


HOSTILE = {
    "system": Call(os.system, "true"),
    "eval": Call(builtins.eval, "1"),
    "nested": [{"a": (Call(builtins.getattr, Call(os.system, "true"), "x"),)}],
}


def safetensors_files() -> Files:
    """Types, scalars, empty tensors; overlaps, lengths and numbers that lie."""
    f32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    headers: dict[str, tuple[Any, int]] = {
        "overlap": ({"a": f32, "b": {**f32, "data_offsets": [4, 12]}}, 12),
        "outside": ({"a": {**f32, "data_offsets": [0, 1 << 40], "shape": [1 << 38]}}, 8),
        "overflow": ({"a": {**f32, "shape": [1 << 62, 8]}}, 8),
        "negative": ({"a": {**f32, "shape": [-2]}}, 8),
        "axes": ({"a": {**f32, "shape": [2, *[1] * 64]}}, 8),
        "product": ({"a": {**f32, "shape": [9] * 5000}}, 8),
        "empty": ({"a": {**f32, "shape": [0, 1 << 40, 1 << 40], "data_offsets": [0, 0]}}, 0),
    }
    raw = {
        "nan": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}',
        "repeated": b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        "deep": b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
    }
    files = {
        "plain": save(
            {"a": FLOATS.reshape(3, 4), "b": np.ones(3, np.int8), "c": np.array(1.5)},
            {"format": "pt"},
        ),
        "plain-half": save({"x.weight": FLOATS.astype(np.float16), "y": FLOATS > 3}),
        "hostile-huge": struct.pack("<Q", 1 << 63) + b"{}",
    }
    for name, (header, size) in headers.items():
        text = json.dumps(header).encode()
        files[f"hostile-{name}"] = struct.pack("<Q", len(text)) + text + bytes(size)
    for name, text in raw.items():
        files[f"hostile-{name}"] = struct.pack("<Q", len(text)) + text + bytes(4)
    return files


def pdparams_files() -> Files:
    """Every protocol, slices of large parameters, and calls of what must not run."""
    state = {
        "a": FLOATS.reshape(3, 4),
        "b": np.ones(3, np.uint16),
        "StructuredToParameterName@@": {"a": "linear_0.w_0"},
    }
    sliced = {
        "b@@.0": FLOATS[:8],
        "b@@.1": FLOATS[8:],
        "UnpackBigParamInfor@@": {"b": {"OriginShape": (3, 4), "slices": ["b@@.0", "b@@.1"]}},
    }
    files = {f"plain-{protocol}": pickle.dumps(state, protocol) for protocol in range(2, 6)}
    files["plain-sliced"] = pickle.dumps(sliced, 4)
    files["plain-fortran"] = pickle.dumps({"a": np.asfortranarray(FLOATS.reshape(3, 4))}, 4)
    for name, call in HOSTILE.items():
        files[f"hostile-{name}"] = pickle.dumps({"a": FLOATS, "b": call}, 4)
    files["hostile-axes"] = pickle.dumps({"a": Array(12, *[1] * 32)}, 4)
    files["hostile-product"] = pickle.dumps({"a": Array(*[9] * 5000)}, 4)
    files["hostile-huge"] = b"\x80\x04}\x8c\x01a\x8e" + struct.pack("<Q", 1 << 62) + b"s."
    files["hostile-repeated"] = b"\x80\x04}(" + 2 * pickle.dumps("a", 4)[2:-1] * 2 + b"u."
    return files


class _Named:
    """Pickles as a bare name, which need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """torch's pickles without torch: names and storages stand for themselves."""

    def persistent_id(self, value: Any) -> Any:
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, _Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call) and isinstance(value.call[0], _Named):
            self.save(value.call[0])
            self.save(value.call[1])
            self.write(b"R")
        else:
            super().save(value, save_persistent_id)


def _pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(value)
    return stream.getvalue()


def _archive(value: Any, *, repeated: bool = False) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("x/data.pkl", _pickled(value))
        file.writestr("x/byteorder", b"little")
        file.writestr("x/data/0", FLOATS.tobytes())
        if repeated:
            file.writestr("x/data/0", bytes(48))
        file.writestr("x/version", b"3\n")
    return stream.getvalue()


def _pickles(value: Any, elements: int) -> bytes:
    """A file of torch before 1.6 with one storage, "0"."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    parts = [_pickled(part) for part in (*head, value, ["0"])]
    return b"".join(parts) + struct.pack("<q", elements) + FLOATS.tobytes()


def torch_files() -> Files:
    """Views, shared storages, parameters; other names, sizes that lie, files before torch 1.6."""
    floats = ("storage", _Named("torch", "FloatStorage"), "0", "cpu", 12)
    halves = ("storage", _Named("torch", "BFloat16Storage"), "0", "cpu", 24)
    elsewhere = (*floats[:2], "../data.pkl", *floats[3:])
    rebuild = _Named("torch._utils", "_rebuild_tensor_v2")

    def tensor(storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
        return Call(rebuild, storage, offset, shape, strides, False, {})

    plain = {"a": tensor(floats, 0, (3, 4), (4, 1)), "b": tensor(floats, 1, (5,), (2,))}
    plain["c"] = tensor(halves, 0, (4, 6), (1, 4))
    files = {
        "plain": _archive(plain),
        "plain-expanded": _archive({"a": tensor(floats, 0, (7, 4), (0, 1))}),
        "hostile-expanded": _archive({"a": tensor(floats, 0, (1 << 40, 1 << 40), (0, 0))}),
        "plain-stride": _archive({"a": tensor(floats, 0, (1, 3), (1 << 62, 2))}),
        "hostile-axes": _archive({"a": tensor(floats, 0, (2, *[1] * 32), (1,) * 33)}),
        "hostile-product": _archive({"a": tensor(floats, 0, (9,) * 5000, (0,) * 5000)}),
        "hostile-outside": _archive({"a": tensor(floats, 9, (4,), (1,))}),
        "hostile-path": _archive({"a": tensor(elsewhere, 0, (1,), (1,))}),
        "hostile-repeated": _archive(plain, repeated=True),
        "hostile-bare": pickle.dumps({"a": FLOATS}, 4),
    }
    legacy = {"a": tensor((*floats, None), 0, (3, 4), (4, 1))}
    files["plain-legacy"] = _pickles(legacy, 12)
    files["hostile-legacy-short"] = _pickles(legacy, 13)
    files["hostile-legacy-outside"] = _pickles({"a": tensor((*floats, None), 9, (4,), (1,))}, 12)
    files["hostile-legacy-view"] = _pickles({"a": tensor((*floats, ("1", 0, 2)), 0, (2,), (1,))}, 2)
    files["hostile-legacy-system"] = _pickles({"a": HOSTILE["system"]}, 12)
    for name, call in HOSTILE.items():
        files[f"hostile-{name}"] = _archive({"a": plain["a"], "b": call})
    return files


def gguf_files() -> Files:
    """A tiny LLaMA in several types, texts and arrays among its metadata."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_context_length(64)
        writer.add_embedding_length(32)
        writer.add_block_count(1)
        writer.add_head_count(2)
        writer.add_head_count_kv(1)
        writer.add_feed_forward_length(32)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(["a", "b", "ab"])
        writer.add_token_types([3, 1, 1])
        writer.add_token_merges(["a b"])
        writer.add_eos_token_id(0)
        writer.add_chat_template("{{ messages }}")
        writer.add_tensor("token_embd.weight", np.ones((3, 32), np.float32))
        writer.add_tensor("output_norm.weight", np.ones(32, np.float16))
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        quantized = gguf.quants.quantize(np.ones((32, 32), np.float32), q8_0)
        writer.add_tensor("blk.0.attn_q.weight", quantized, raw_dtype=q8_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        whole = path.read_bytes()
    huge = struct.pack("<Q", 1 << 61)
    head = struct.pack("<4sIQQQ1sI", b"GGUF", 3, 1, 0, 1, b"a", 5000)
    return {
        "hostile-axes": head + struct.pack("<5000QIQ", *[1] * 5000, 0, 0) + bytes(64),
        "plain": whole,
        "hostile-tensors": whole[:8] + huge + whole[16:],
        "hostile-fields": whole[:16] + huge + whole[24:],
        "hostile-text": whole[:24] + huge + whole[32:],
    }


def tokenizer_files() -> dict[str, Files]:
    """A vocabulary as sentencepiece's and as the tokenizers library's file."""
    kinds = (Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL, *[Kind.BYTE] * 256)
    texts = ("<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)))
    pieces = Vocabulary("sentencepiece", texts, kinds, scores=(0.0,) * 259, ids={"unk": 0})
    words = ("<s>", "a", "b", "ab")
    bpe = Vocabulary(
        "bpe",
        words,
        (Kind.CONTROL, *[Kind.NORMAL] * 3),
        merges=("a b",),
        words="dbrx",
        ids={"bos": 0},
        add_bos=True,
    )
    whole = sentencepiece_bytes(pieces)
    return {
        "sentencepiece": {"plain": whole, "hostile-size": whole + b"\x0a\xff\xff\xff\xff\x7f"},
        "tokenizer": {"plain": json.dumps(byte_level_json(bpe)).encode()},
    }


def json_files() -> dict[str, Files]:
    """Indexes, configurations of models and of adapters."""
    config = json.loads((GOLDEN / "config.json").read_bytes())
    yarn = {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64}
    adapter = json.loads((GOLDEN.parent / "lora_llama_v2_gqa/adapter_config.json").read_bytes())
    shard = "model-00001-of-00001.safetensors"
    index = {"metadata": {"total_size": 12}, "weight_map": {"a": shard}}
    changed = {
        "up": "../x.safetensors",
        "root": "/etc/passwd",
        "folder": "x/../" + shard,
        "null": "\0",
    }
    return {
        "index": {
            "plain": json.dumps(index).encode(),
            "hostile-repeated": b'{"weight_map":{"a":"x","a":"y"}}',
            "hostile-nan": b'{"weight_map":{"a":NaN}}',
            "hostile-text": b"\xff\xfe{",
        }
        | {
            f"hostile-{name}": json.dumps({"weight_map": {"a": path}}).encode()
            for name, path in changed.items()
        },
        "config": {
            "plain": json.dumps(config).encode(),
            "plain-yarn": json.dumps({**config, "rope_scaling": yarn}).encode(),
            "hostile-layers": json.dumps({**config, "num_hidden_layers": 1 << 40}).encode(),
            "hostile-list": json.dumps({**config, "hidden_act": ["silu"]}).encode(),
            "hostile-infinity": json.dumps(config).replace("64", "1e999").encode(),
        },
        "adapter": {
            "plain": json.dumps(adapter).encode(),
            "plain-patterns": json.dumps({**adapter, "rank_pattern": {"q_proj": 4}}).encode(),
            "hostile-pattern": json.dumps({**adapter, "alpha_pattern": {"(a+)+b(": 4}}).encode(),
        },
    }


def golden_files() -> Files:
    """Prompts with and without answers; objects, which must not be unpickled."""

    def packed(**arrays: Any) -> bytes:
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return stream.getvalue()

    vocab = json.loads((GOLDEN / "config.json").read_bytes())["vocab_size"]
    prompt = {"prompt_0": np.arange(1, 4), "logits_0": np.ones((3, vocab), np.float32)}
    return {
        "plain": packed(**prompt, generated=np.ones((1, 2), np.int64)),
        "hostile-objects": packed(prompt_0=np.array([Call(os.system, "true")])),
        "hostile-types": packed(prompt_0=np.ones(3, ml_dtypes.bfloat16).view(np.uint16)),
    }


def main() -> None:
    """Write all of them."""
    kinds: dict[str, Files] = {
        "safetensors": safetensors_files(),
        "torch": torch_files(),
        "pdparams": pdparams_files(),
        "gguf": gguf_files(),
        "golden": golden_files(),
        **tokenizer_files(),
        **json_files(),
    }
    for kind, files in kinds.items():
        folder = CORPUS / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
