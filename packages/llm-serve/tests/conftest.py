"""A server over the real engine and a decoder that counts: after "a" comes "b", "~" is the last."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from llm_data.chat_template import load_chat_template
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_infer.engine import Engine, EngineLimits
from llm_kernels.decoder import StepBatch
from llm_serve.app import create_app
from llm_serve.model import ServedModel
from llm_serve.run import listen
from llm_serve.state import Limits, ServerState

VOCAB = 260
END = 256
BLOCKS = 32
RANDOM = np.random.default_rng(3).random((VOCAB, VOCAB), np.float32)
TEMPLATE = {
    "system": "{{system | default('S')}}",
    "conversation": ["<|user|>{{user}}<|bot|>", "{{bot}}<|end|>"],
    "query": "<|user|>{{query}}<|bot|>",
}


class Counting:
    """A decoder whose likeliest next token is the last one plus one; the rest is random.

    `open` lets steps through while it is set; `error` makes the next step fail; after the token
    `poison` come logits that are no numbers.
    """

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.seconds = 0.0
        self.error: Exception | None = None
        self.poison: int | None = None

    def step(self, batch: StepBatch) -> np.ndarray:
        self.open.wait()
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        last = batch.token_ids[batch.logits_rows]
        logits = RANDOM[last]
        following = np.where((last >= 32) & (last < 126), last + 1, END)
        following = np.where(last == 258, ord("A"), following)
        logits[np.arange(len(last)), following] = 2.0
        logits[last == self.poison] = np.nan
        return logits


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One id a byte, and four special tokens."""
    import tokenizers

    folder = tmp_path_factory.mktemp("tokenizer")
    characters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {_character(byte): byte for byte in range(256)}
    assert sorted(vocabulary) == characters
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False, use_regex=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|user|>", "<|bot|>", "<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.json").write_text(json.dumps(TEMPLATE))
    return folder


def _character(byte: int) -> str:
    """The character that byte-level tokenizers write for a byte (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(256 + [b for b in range(256) if b not in printable].index(byte))


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    """The tokenizer of `tokenizer_folder`."""
    return load_tokenizer(tokenizer_folder)


@pytest.fixture
def decoder() -> Counting:
    """The decoder behind `model`."""
    return Counting()


@pytest.fixture
def engine(decoder: Counting, tokenizer: Tokenizer) -> Iterator[Engine]:
    """A real engine over `decoder`: 32 blocks of 4 tokens, four sequences at a time."""
    limits = EngineLimits(
        num_blocks=BLOCKS, block_size=4, max_sequences=4, max_positions=100, vocab_size=VOCAB
    )
    made = Engine(decoder, limits, eos_token_ids=[END], decode=tokenizer.decode)
    yield made
    decoder.open.set()
    made.close()


@pytest.fixture
def model(engine: Engine, tokenizer: Tokenizer) -> ServedModel:
    """The counting model under the name "tiny"."""
    return ServedModel("tiny", tokenizer, engine, load_chat_template(None, tokenizer))


@pytest.fixture
def state(model: ServedModel) -> ServerState:
    """A server that is ready and takes six sequences."""
    made = ServerState("tiny", Limits(max_sequences=6, heartbeat=5.0))
    made.ready(model)
    return made


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """Serve on a real socket in a thread; gives a client of it."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    port = listener.getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as made:
            yield made
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], httpx.Client]]:
    """Serve an application on a real socket until the end of the test."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@pytest.fixture
def client(serve: Callable[[FastAPI], httpx.Client], state: ServerState) -> httpx.Client:
    """A client of `state`, served on a real socket."""
    return serve(create_app(state))


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition of another thread holds."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < end, "the condition did not hold within 5 seconds"
            time.sleep(0.005)

    return wait
