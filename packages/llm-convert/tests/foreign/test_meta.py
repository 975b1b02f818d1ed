"""Meta's files, made of golden checkpoints by the inverse of what the hub's converter does."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError, FileFormatError, TensorMismatchError
from llm_convert.files.safetensors import open_safetensors
from llm_convert.foreign.meta import open_meta
from llm_convert.model import open_model
from llm_kernels.families import Llama3Scaling
from llm_kernels.reference_decoder import forward

STEMS = {
    "self_attn.q_proj": ("attention.wq", 0),
    "self_attn.k_proj": ("attention.wk", 0),
    "self_attn.v_proj": ("attention.wv", 0),
    "self_attn.o_proj": ("attention.wo", 1),
    "mlp.gate_proj": ("feed_forward.w1", 0),
    "mlp.down_proj": ("feed_forward.w2", 1),
    "mlp.up_proj": ("feed_forward.w3", 0),
    "input_layernorm": ("attention_norm", None),
    "post_attention_layernorm": ("ffn_norm", None),
}
PARAMS = {"dim": 64, "n_layers": 3, "n_heads": 4, "n_kv_heads": 2, "norm_eps": 1e-5}
_STORAGES = {"float32": b"FloatStorage", "bfloat16": b"BFloat16Storage"}


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"J" + value.to_bytes(4, "little") for value in values) + b"t"


def save_torch(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """A torch file: a pickle (protocol 2) of _rebuild_tensor_v2 calls, and a storage for each."""
    parts = [b"\x80\x02}("]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index, (name, array) in enumerate(tensors.items()):
            steps = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
            storage = b"ctorch\n" + _STORAGES[array.dtype.name] + b"\n"
            identity = b"(" + text("storage") + storage + text(str(index)) + text("cpu")
            parts += [text(name), b"ctorch._utils\n_rebuild_tensor_v2\n("]
            parts += [identity, b"J" + array.size.to_bytes(4, "little") + b"tQK\x00"]
            parts += [numbers(array.shape), numbers(steps)]
            parts += [b"\x89ccollections\nOrderedDict\n)RtR"]
            archive.writestr(f"consolidated/data/{index}", np.ascontiguousarray(array).tobytes())
        archive.writestr("consolidated/data.pkl", b"".join(parts) + b"u.")


def pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of the permutation in the hub's converter of LLaMA."""
    half = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return half.swapaxes(1, 2).reshape(rows.shape)


def made(
    golden: Path,
    folder: Path,
    shards: int,
    *,
    embed_axis: int = 1,
    dtype: Any = np.float32,
    change: Callable[[int, dict[str, np.ndarray]], None] = lambda *_: None,
    **params: Any,
) -> Path:
    """llama_v2_gqa's weights as `shards` of Meta's files."""
    folder.mkdir()
    stored = open_safetensors(golden / "llama_v2_gqa" / "model.safetensors")
    whole: dict[str, tuple[np.ndarray, int | None]] = {
        "tok_embeddings.weight": (stored["model.embed_tokens.weight"], embed_axis),
        "norm.weight": (stored["model.norm.weight"], None),
        "output.weight": (stored["lm_head.weight"], 0),
        "rope.freqs": (np.ones(8, np.float32), None),
    }
    for layer in range(3):
        for stem, (name, axis) in STEMS.items():
            array = stored[f"model.layers.{layer}.{stem}.weight"]
            if "wq" in name or "wk" in name:
                array = pairs(array, 4 if "wq" in name else 2)
            whole[f"layers.{layer}.{name}.weight"] = (array, axis)
    for number in range(shards):
        tensors = {
            name: (array if axis is None else np.split(array, shards, axis)[number]).astype(dtype)
            for name, (array, axis) in whole.items()
        }
        change(number, tensors)
        save_torch(folder / f"consolidated.{number:02d}.pth", tensors)
    (folder / "params.json").write_text(json.dumps({**PARAMS, "vocab_size": -1, **params}))
    (folder / "tokenizer.model").write_bytes(b"a tokenizer")
    return folder


@pytest.mark.parametrize(("shards", "axis"), [(1, 1), (2, 1), (2, 0)])
def test_the_original_model(golden: Path, tmp_path: Path, shards: int, axis: int) -> None:
    source = open_model(golden / "llama_v2_gqa")
    model = open_meta(made(golden, tmp_path / "meta", shards, embed_axis=axis))
    assert (model.naming, model.spec) == ("meta", source.spec)
    assert set(model.parameters) == set(source.parameters)
    for key in source.parameters:
        np.testing.assert_array_equal(model.weight(key), source.weight(key))
        model.release(key)
    arrays = np.load(golden / "llama_v2_gqa" / "golden.npz")
    logits = forward(model.spec, model.sizes, model.weight, arrays["prompt_0"])
    np.testing.assert_allclose(logits, arrays["logits_0"], atol=1e-4)


def test_the_command_carries_the_tokenizer_along(golden: Path, tmp_path: Path) -> None:
    source = made(golden, tmp_path / "meta", 2, dtype=ml_dtypes.bfloat16)
    for target in ("paddlenlp", "hf"):
        out = tmp_path / target
        convert(ConvertOptions(from_meta=str(source), output_path=str(out), to=target))
        model = open_model(out)
        assert model.naming == target
        assert (out / "tokenizer.model").read_bytes() == b"a tokenizer"
        assert json.loads((out / "certificate.json").read_text())["max_abs_diff"] == 0
        original = open_model(golden / "llama_v2_gqa")
        for key in original.parameters:
            wanted = original.dense(key).astype(ml_dtypes.bfloat16)
            np.testing.assert_array_equal(model.weight(key), wanted)


@pytest.mark.parametrize(
    ("params", "length", "factor"),
    [
        ({"norm_eps": 1e-6}, 2048, None),
        ({}, 4096, None),
        ({"rope_theta": 500000.0}, 8192, None),
        ({"rope_theta": 500000.0, "use_scaled_rope": True}, 131072, 32.0),
    ],
)
def test_generations(
    golden: Path, tmp_path: Path, params: dict[str, Any], length: int, factor: float | None
) -> None:
    sizes = open_meta(made(golden, tmp_path / "meta", 1, **params)).sizes
    assert sizes.max_positions == length
    assert sizes.theta == params.get("rope_theta", 10000.0)
    scaling = sizes.rope_scaling
    assert (scaling.factor if isinstance(scaling, Llama3Scaling) else None) == factor


def test_a_missing_shard_is_named(golden: Path, tmp_path: Path) -> None:
    folder = made(golden, tmp_path / "meta", 4)
    (folder / "consolidated.01.pth").unlink()
    with pytest.raises(FileFormatError, match=r"lacks consolidated\.01\.pth"):
        open_meta(folder)
    shutil.rmtree(folder)
    with pytest.raises(ConvertError, match=r"has no params\.json"):
        open_meta(folder)


def test_what_a_download_left_is_no_shard(golden: Path, tmp_path: Path) -> None:
    folder = made(golden, tmp_path / "meta", 2)
    for number in range(2):
        (folder / f"consolidated.{number:02d}.pth.part").write_bytes(b"a piece")
    assert open_meta(folder).spec.name == "llama"
    (folder / "consolidated.01.pth").rename(folder / "consolidated.01.pth.part")
    (folder / "consolidated.00.pth").rename(folder / "consolidated.00.pth.part")
    with pytest.raises(FileFormatError, match=r"lacks consolidated\.00\.pth"):
        open_meta(folder)


def test_too_few_shards_do_not_fit(golden: Path, tmp_path: Path) -> None:
    folder = made(golden, tmp_path / "meta", 2)
    (folder / "consolidated.01.pth").unlink()
    with pytest.raises(TensorMismatchError, match=r"of another shape.*attention\.wq"):
        open_meta(folder)


def test_shards_that_do_not_belong_together(golden: Path, tmp_path: Path) -> None:
    def lose(number: int, tensors: dict[str, np.ndarray]) -> None:
        if number:
            del tensors["layers.1.attention.wv.weight"]

    with pytest.raises(TensorMismatchError, match=r"differ in 1 tensors: layers\.1\.attention\.wv"):
        open_meta(made(golden, tmp_path / "lost", 2, change=lose))

    def differ(number: int, tensors: dict[str, np.ndarray]) -> None:
        tensors["norm.weight"] = tensors["norm.weight"] + number

    model = open_meta(made(golden, tmp_path / "differ", 2, change=differ))
    with pytest.raises(TensorMismatchError, match=r"different copies of norm\.weight"):
        model.weight(next(key for key in model.parameters if key.slot == "final_norm"))


def test_params_without_a_field(golden: Path, tmp_path: Path) -> None:
    folder = made(golden, tmp_path / "meta", 1)
    (folder / "params.json").write_text('{"dim": 64, "n_layers": 3}')
    with pytest.raises(ConvertError, match=r"params\.json lacks n_heads, norm_eps"):
        open_meta(folder)
