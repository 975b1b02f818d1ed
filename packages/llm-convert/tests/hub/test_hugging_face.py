"""Downloads from a hub on this machine: what is loaded, resumed, cached, and what goes wrong."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

constants = pytest.importorskip("huggingface_hub.constants")

from llm_convert.errors import ConvertError  # noqa: E402
from llm_convert.hub import resolve_model  # noqa: E402
from llm_convert.model import open_model  # noqa: E402
from llm_kernels.families import ParameterKey  # noqa: E402

EMBED = ParameterKey("embed")


def cache() -> Path:
    return Path(constants.HF_HUB_CACHE)


def test_a_name_becomes_a_folder_with_what_a_model_needs(hub: Any, golden: Path) -> None:
    folder = resolve_model("org/tiny")
    files = {path.name for path in Path(folder).iterdir()}
    assert files == {"config.json", "tokenizer.json", "model.safetensors"}
    assert hub.loaded() == files
    expected = open_model(golden / "llama_v2_gqa").weight(EMBED)
    np.testing.assert_array_equal(open_model(folder).weight(EMBED), expected)


def test_a_second_time_loads_no_file(hub: Any) -> None:
    folder = resolve_model("org/tiny")
    hub.asked.clear()
    assert resolve_model("org/tiny") == folder
    assert hub.loaded() == set()


def test_a_revision(hub: Any) -> None:
    assert Path(resolve_model("org/tiny@v1")).is_dir()
    assert any(line.startswith("GET /api/models/org/tiny/revision/v1") for line in hub.asked)


def test_shards_come_with_their_index(hub: Any, golden: Path) -> None:
    (hub.folder / "model.safetensors").unlink()
    for path in (golden / "llama_v2_gqa" / "sharded").glob("model*"):
        shutil.copy(path, hub.folder)
    folder = resolve_model("org/tiny")
    assert "pytorch_model.bin" not in hub.loaded()
    expected = open_model(golden / "llama_v2_gqa").weight(EMBED)
    np.testing.assert_array_equal(open_model(folder).weight(EMBED), expected)


def test_bin_files_where_there_is_nothing_better(hub: Any) -> None:
    (hub.folder / "model.safetensors").unlink()
    assert (Path(resolve_model("org/tiny")) / "pytorch_model.bin").is_file()


def test_a_download_that_broke_off_goes_on(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.cut["model.safetensors"] = 4 << 16
    with pytest.raises(ConvertError, match=r"model\.safetensors of org/tiny could not be loaded"):
        resolve_model("org/tiny")
    hub.cut.clear()
    hub.ranges.clear()
    folder = resolve_model("org/tiny")
    assert hub.ranges["model.safetensors"][0] == f"bytes={4 << 16}-"
    served = (hub.folder / "model.safetensors").read_bytes()
    assert (Path(folder) / "model.safetensors").read_bytes() == served


def test_progress_tells_bytes(hub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    resolve_model("org/tiny")
    names = ("config.json", "tokenizer.json", "model.safetensors")
    total = sum((hub.folder / name).stat().st_size for name in names)
    assert f"{total / 1000:.1f} KB of {total / 1000:.1f} KB (100 %)" in capsys.readouterr().err


def test_the_token_is_sent(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    resolve_model("org/tiny")
    assert hub.token == "Bearer hf_secret"


def test_offline_uses_the_cache(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resolve_model("org/tiny")
    hub.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_model("org/tiny") == folder
    assert hub.asked == []


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_offline_names_what_the_cache_lacks(
    missing: str, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(resolve_model("org/tiny")) / missing).unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConvertError) as caught:
        resolve_model("org/tiny")
    text = str(caught.value)
    assert "HF_HUB_OFFLINE is set" in text
    assert f"{cache() / 'models--org--tiny'} lacks {missing}" in text
    assert hub.folder.is_dir()


def test_offline_names_missing_shards(
    hub: Any, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub.folder / "model.safetensors").unlink()
    for path in (golden / "llama_v2_gqa" / "sharded").glob("model*"):
        shutil.copy(path, hub.folder)
    shard = sorted(Path(resolve_model("org/tiny")).glob("model-*"))[-1]
    shard.unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConvertError, match=f"lacks {shard.name} of the model"):
        resolve_model("org/tiny")


def test_without_network_it_says_so_soon(
    hub: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = resolve_model("org/tiny")
    # 192.0.2.0/24 is reserved for documentation: nobody answers there.
    for endpoint in ("http://127.0.0.1:1", "http://192.0.2.1"):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        started = time.monotonic()
        with pytest.raises(ConvertError, match=f"hub {endpoint} does not answer .* lacks config"):
            resolve_model("org/other")
        assert time.monotonic() - started < 5
    assert resolve_model("org/tiny") == folder
    assert "from the cache" in caplog.text
    assert hub.folder.is_dir()


def test_without_network_whichever_http_library(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class ForeignError(Exception):  # as those of httpx: no OSError
        pass

    class AnswerError(ForeignError, OSError):
        pass

    def refuse(*_: object, **__: object) -> None:
        message = "no route"
        raise ForeignError(message)

    monkeypatch.setattr("huggingface_hub.errors.HfHubHTTPError", AnswerError)
    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.HfApi.model_info", refuse)
        with pytest.raises(ConvertError, match=r"does not answer \(no route\)"):
            resolve_model("org/tiny")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(ConvertError, match=r"could not be loaded from .* \(no route\)"):
        resolve_model("org/tiny")
    assert hub.folder.is_dir()


def test_a_server_that_never_answers_is_not_waited_for(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.5")
        started = time.monotonic()
        with pytest.raises(ConvertError, match="does not answer"):
            resolve_model("org/tiny")
        assert time.monotonic() - started < 3
    assert hub.folder.is_dir()


@pytest.mark.parametrize(
    ("name", "status", "error", "text"),
    [
        ("org/unknown", 200, "", "has no model of that name"),
        ("org/tiny@v2", 200, "", "org/tiny has no revision v2"),
        ("org/tiny", 403, "GatedRepo", "accepted its terms"),
        ("org/tiny", 503, "", "answered 503"),
    ],
)
def test_refusals_are_told(hub: Any, name: str, status: int, error: str, text: str) -> None:
    hub.status, hub.error = status, error
    with pytest.raises(ConvertError, match=text):
        resolve_model(name)


def test_a_repository_without_a_model(hub: Any) -> None:
    (hub.folder / "config.json").unlink()
    with pytest.raises(ConvertError, match="holds no model that can be read here"):
        resolve_model("org/tiny")


def test_an_index_cannot_lead_out_of_its_folder(hub: Any) -> None:
    (hub.folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "../../secret", "b": "absent.safetensors"}}
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConvertError, match=r"lacks absent\.safetensors, which its model"):
        resolve_model("org/tiny")


def test_without_the_library(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConvertError, match=r'tools/install "llm-convert\[hub\]"'):
        resolve_model("org/tiny")
    assert hub.asked == []
