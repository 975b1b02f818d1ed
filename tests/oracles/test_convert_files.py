"""torch's own files through our readers, and our files through torch's ecosystem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("llm_convert")

from safetensors.torch import load_file  # noqa: E402

from llm_convert.errors import UnsafePickleError  # noqa: E402
from llm_convert.files.safetensors import write_safetensors  # noqa: E402
from llm_convert.files.tensor_file import TensorInfo  # noqa: E402
from llm_convert.files.torch_file import open_torch  # noqa: E402
from llm_convert.model import open_model, save_model  # noqa: E402
from llm_convert.quantization import Quantization, Scheme  # noqa: E402
from llm_kernels.weights import Int4Weight  # noqa: E402


def state() -> dict[str, torch.Tensor]:
    base = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    return {
        "plain": base,
        "transposed": base.t(),
        "slice": base[1:4, 2:5],
        "expanded": base[:, :1].expand(6, 4),
        "parameter": torch.nn.Parameter(base[0]),
        "bfloat16": base.bfloat16(),
        "float16": base.half(),
        "float64": base.double(),
        "float8_e4m3": base.to(torch.float8_e4m3fn),
        "float8_e5m2": base.to(torch.float8_e5m2),
        "int64": torch.arange(5),
        "int8": torch.arange(-2, 3, dtype=torch.int8),
        "uint16": torch.arange(5).to(torch.uint16),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_tensor_that_torch_saves(tmp_path: Path, zipped: bool) -> None:
    torch.save(state(), tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
    read = open_torch(tmp_path / "x.bin")
    assert set(read) == set(state())
    for name, tensor in state().items():
        assert read[name].shape == tuple(tensor.shape)
        assert str(tensor.dtype).removeprefix("torch.") == read[name].dtype.name
        expected = tensor.detach().double().numpy()
        np.testing.assert_array_equal(np.asarray(read[name]).astype(np.float64), expected)


def test_a_state_dict_with_its_metadata(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    torch.save(layer.state_dict(), tmp_path / "x.pt")
    read = open_torch(tmp_path / "x.pt")
    np.testing.assert_array_equal(read["weight"], layer.weight.detach().numpy())


def test_what_is_no_state_dict_of_tensors_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 2), tmp_path / "x.pt")
    with pytest.raises(UnsafePickleError, match=r"torch\.nn\.modules\.linear\.Linear"):
        open_torch(tmp_path / "x.pt")


def test_torch_reads_what_we_write(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "x.bin")
    read = open_torch(tmp_path / "x.bin")
    infos = {name: TensorInfo(read[name].dtype, read[name].shape) for name in read}
    write_safetensors(tmp_path / "x.safetensors", infos, read.__getitem__)
    loaded = load_file(tmp_path / "x.safetensors")
    for name, tensor in state().items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name].double(), tensor.detach().double())


@pytest.mark.parametrize("symmetric", [True, False])
def test_compressed_tensors_unpacks_what_we_pack(
    golden: Path, tmp_path: Path, symmetric: bool
) -> None:
    helpers = pytest.importorskip("compressed_tensors.compressors.pack_quantized.helpers")
    source = open_model(golden / "qwen2")
    quantization = Quantization.uniform(
        source.spec, source.sizes, Scheme(4, None, symmetric=symmetric)
    )
    save_model(
        tmp_path,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=lambda key: (
            Int4Weight.from_dense(source.dense(key), None, symmetric)
            if key in quantization.schemes
            else source.weight(key)
        ),
        naming="hf",
        quantization=quantization,
    )
    stored, model = load_file(tmp_path / "model.safetensors"), open_model(tmp_path)
    for key in quantization.schemes:
        tail = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj"}
        tail |= {"out": "self_attn.o_proj", "up": "mlp.up_proj"}
        tail |= {"gate": "mlp.gate_proj", "down": "mlp.down_proj"}
        name = f"model.layers.{key.layer}.{tail[key.slot]}.weight"
        shape = torch.Size(stored[f"{name}_shape"].tolist())
        codes = helpers.unpack_from_int32(stored[f"{name}_packed"], 4, shape).float()
        if not symmetric:
            zeros = stored[f"{name}_zero_point"]
            codes -= helpers.unpack_from_int32(zeros, 4, torch.Size((shape[0], 1)), packed_dim=0)
        expected = (codes * stored[f"{name}_scale"]).numpy()
        np.testing.assert_allclose(model.dense(key), expected, rtol=1e-6, atol=1e-7)
