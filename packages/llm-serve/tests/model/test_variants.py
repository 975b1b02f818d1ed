"""Adapters and tuned prefixes, chosen by the `model` of a request to a real socket."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from safetensors.numpy import load_file, save_file

from llm_infer.engine import SamplingParams
from llm_infer.load import AdapterPaths, Backend, load_engine, open_model
from llm_serve.app import create_app
from llm_serve.model import load_model
from llm_serve.names import variants
from llm_serve.options import ServeOptions
from llm_serve.state import Limits, ServerState

PROMPT = list(range(5, 30))
PLACES = 20
GREEDY = SamplingParams(max_new_tokens=6, ignore_eos=True)
Ask = Callable[..., httpx.Response]


@pytest.fixture
def beside(golden: Path, tmp_path: Path) -> dict[str, Path]:
    """The golden adapter, its negative, and a random prefix."""
    for name in ("plus", "minus"):
        shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / name)
    file = tmp_path / "minus" / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({k: np.array(-v if "lora_B" in k else v) for k, v in weights.items()}, file)
    sizes = open_model(golden / "llama_v2_gqa").sizes
    shape = (sizes.layers, 2, sizes.kv_heads, PLACES, sizes.head_dim)
    random = np.random.default_rng(0)
    for name in ("tuned", "other"):
        np.save(tmp_path / f"{name}.npy", random.standard_normal(shape).astype(np.float32))
    names = {"plus": "plus", "minus": "minus", "tuned": "tuned.npy", "other": "other.npy"}
    return {name: tmp_path / file for name, file in names.items()}


@pytest.fixture
def client(
    serve: Callable[[FastAPI], httpx.Client], tiny_model: Path, beside: dict[str, Path]
) -> Iterator[httpx.Client]:
    """A client of a server with two adapters and two prefixes."""
    options = ServeOptions(
        model_name_or_path=str(tiny_model),
        served_model_name="base",
        lora_path=[f"{name}={beside[name]}" for name in ("plus", "minus")],
        prefix_path=[f"{name}={beside[name]}" for name in ("tuned", "other")],
        num_blocks=20,
        block_size=16,
        threads=1,
    )
    state = ServerState("base", Limits(max_sequences=8), variants=variants(options))
    model = load_model(options)
    state.ready(model)
    yield serve(create_app(state))
    model.engine.close()


def complete(client: httpx.Client, model: str | None) -> httpx.Response:
    ask = {"prompt": PROMPT, "max_tokens": 6, "temperature": 0, "ignore_eos": True}
    return client.post("/v1/completions", json={**ask, "model": model})


def test_every_name_answers_as_its_own_engine_would(
    client: httpx.Client, tiny_model: Path, beside: dict[str, Path]
) -> None:
    tokenizer = load_model(ServeOptions(model_name_or_path=str(tiny_model), num_blocks=1)).tokenizer
    wanted = {}
    for name in ("base", *beside):
        is_adapter = name in ("plus", "minus")
        engine = load_engine(
            tiny_model,
            tokenizer=tokenizer,
            adapters=AdapterPaths(
                lora_path=beside[name] if is_adapter else None,
                prefix_paths={"it": beside[name]} if name in ("tuned", "other") else {},
            ),
            backend=Backend(threads=1),
        )
        prefix = "it" if name in ("tuned", "other") else None
        params = SamplingParams(max_new_tokens=6, ignore_eos=True, prefix=prefix)
        wanted[name] = engine.submit(PROMPT, params).text()
        engine.close()
    assert len(set(wanted.values())) == 5
    for name, text in [*wanted.items(), *wanted.items()]:
        answer = complete(client, name).json()
        assert (answer["model"], answer["choices"][0]["text"]) == (name, text)
    unnamed = complete(client, None).json()
    assert (unnamed["model"], unnamed["choices"][0]["text"]) == ("base", wanted["base"])


def test_the_names_are_listed(client: httpx.Client) -> None:
    cards = client.get("/v1/models").json()["data"]
    assert [card["id"] for card in cards] == ["base", "plus", "minus", "tuned", "other"]
    assert [card["parent"] for card in cards] == [None, *["base"] * 4]
    # 20 blocks of 16 tokens; the last 4 places of a prefix stand in a block of the request.
    assert [card["max_model_len"] for card in cards] == [320, 320, 320, 316, 316]
    assert client.get("/v1/models/tuned").json() == cards[3]


def test_another_name_says_which_there_are(client: httpx.Client) -> None:
    answer = complete(client, "minus1")
    assert answer.status_code == 404
    message = answer.json()["error"]["message"]
    assert message == (
        "The model 'minus1' does not exist; this server has 'base', 'plus', 'minus', 'tuned', "
        "'other'."
    )
    assert complete(client, "").status_code == 404
