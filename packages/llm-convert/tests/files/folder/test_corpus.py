"""Every input that is kept ends in arrays or in one of our errors, quickly; a few mutations too.

`tests/fuzz/run.py` fuzzes for longer and adds what it finds to the corpus.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fuzz"))
from fuzz_targets import CORPUS, TARGETS, corpus, outcome
from mutations import mutated

FILES = [(kind, path.name) for kind in TARGETS for path in corpus(kind)]
REFUSED = {"FileFormatError", "UnsafePickleError", "ConfigError", "AdapterError"}
MUTATIONS = 60


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_kept_input_is_read_or_refused(kind: str, name: str, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        found = outcome(kind, (CORPUS / kind / name).read_bytes(), tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    if name.startswith("hostile"):
        assert found in REFUSED
    if name.startswith("plain") and kind != "gguf":
        assert found == "read"


@pytest.mark.parametrize("kind", TARGETS)
def test_mutations_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    rng = random.Random(kind)
    pool = [path.read_bytes() for path in corpus(kind)]
    for _ in range(MUTATIONS):
        outcome(kind, mutated(rng.choice(pool), pool, rng), tmp_path)


@pytest.mark.parametrize("name", ["hostile-system", "hostile-eval", "hostile-nested"])
@pytest.mark.parametrize("kind", ["torch", "pdparams"])
def test_nothing_of_a_hostile_pickle_is_called(kind: str, name: str, tmp_path: Path) -> None:
    data = (CORPUS / kind / name).read_bytes()
    assert outcome(kind, data, tmp_path) == "UnsafePickleError"
