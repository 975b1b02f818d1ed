"""Hostile and damaged pickles: nothing is executed, the name is told, memory stays bounded."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import shutil
import struct
import tempfile
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_convert.errors import FileFormatError, UnsafePickleError
from llm_convert.files.numpy_pickle import NUMPY_GLOBALS
from llm_convert.files.pdparams import open_pdparams
from llm_convert.files.pickle_reader import PickleReader
from llm_convert.files.torch_file import open_torch
from llm_convert.files.torch_pickle import TORCH_GLOBALS

PATH = Path("weights.pdparams")


def load(data: bytes) -> Any:
    return PickleReader(data, PATH, NUMPY_GLOBALS).load()


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


# A file that appears only when a hostile pickle was executed.
MARKER = Path(tempfile.gettempdir()) / f"executed-by-a-pickle-{os.getpid()}"
HOSTILE = {
    "posix.system": Call(os.system, f"touch {MARKER}"),
    "builtins.eval": Call(builtins.eval, f"open({str(MARKER)!r}, 'w')"),
    "builtins.exec": Call(builtins.exec, f"open({str(MARKER)!r}, 'w')"),
    "builtins.getattr": Call(builtins.getattr, "text", "upper"),
    "pathlib.Path": Call(Path, "x"),
    "shutil.rmtree": Call(shutil.rmtree, str(MARKER)),
}


@pytest.mark.parametrize("protocol", range(1, 6))
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_globals_are_named_and_never_run(name: str, protocol: int) -> None:
    state = {"weight": np.ones(2, np.float32), "evil": HOSTILE[name]}
    module, function = name.split(".")
    module = module if protocol >= 3 else module.replace("builtins", "__builtin__")
    with pytest.raises(UnsafePickleError, match=f"{module}.{function}"):
        load(pickle.dumps(state, protocol=protocol))
    assert not MARKER.exists()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pickle.dumps({"a": [(Call(os.system, "x"),)]}), id="inside containers"),
        pytest.param(
            pickle.dumps(Call(collections.OrderedDict, [("a", Call(os.system, "x"))])),
            id="as the argument of an admitted call",
        ),
        pytest.param(b"cos\nsystem\n(S'x'\ntR.", id="protocol 0"),
        pytest.param(b"(S'x'\nios\nsystem\n.", id="INST"),
        pytest.param(b"(cos\nsystem\nS'x'\no.", id="OBJ"),
        pytest.param(b"\x80\x02cos\nsystem\n)\x81.", id="NEWOBJ"),
        pytest.param(b"\x80\x02\x82\x01.", id="extension code"),
        pytest.param(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", id="STACK_GLOBAL"),
        pytest.param(b"\x80\x04(K\x01\x91.", id="frozenset"),
        pytest.param(b"\x80\x02K\x01Q.", id="persistent id without a store"),
        pytest.param(b"cnumpy.core.multiarray\nscalar\n.", id="another name of NumPy"),
        pytest.param(b"\x80\x04\x8c\x05numpy\x8c\x09f2py.main\x93.", id="dotted name"),
    ],
)
def test_every_other_way_to_a_name_is_refused(data: bytes) -> None:
    with pytest.raises(UnsafePickleError):
        load(data)


def test_dictionary_attributes_are_ignored_not_set() -> None:
    value = collections.OrderedDict(a=1)
    value.__dict__["_metadata"] = {"version": 1}
    assert load(pickle.dumps(value, protocol=2)) == {"a": 1}


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(value=plain, protocol=st.integers(1, 5))
def test_plain_values_come_back_as_python_reads_them(value: Any, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol=protocol)) == value


HUGE = {
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    "BINUNICODE8": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "BINBYTES": b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b".",
    "LONG4": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "negative LONG4": b"\x80\x02\x8b" + struct.pack("<i", -5) + b".",
    "memo index": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b"0.",
    "unknown memo": b"\x80\x02j" + struct.pack("<I", 2**32 - 1) + b".",
    "protocol": b"\x80\x99N.",
    "no STOP": b"\x80\x04N",
    "empty": b"",
    "endless line": b"c" + b"x" * 10_000,
    "long decimal": b"I" + b"9" * 4000 + b"x\n.",
    "empty stack": b"\x80\x04\x94.",
    "no mark": b"\x80\x04Nt.",
    "unhashable key": b"\x80\x04}]Ns.",
    "odd items": b"\x80\x04}(Nu.",
    "append to None": b"\x80\x04NNa.",
    "BUILD of a list": b"\x80\x04]Nb.",
    "call of a number": b"\x80\x02K\x01)R.",
    "not UTF-8": b"\x80\x04\x8c\x01\xff.",
}


@pytest.mark.parametrize("what", HUGE)
def test_damaged_pickles_end_in_one_error_without_allocating(what: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            load(HUGE[what])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_nested_tuples_as_keys_are_refused_quickly() -> None:
    # Hashing this key would visit 2**60 elements.
    data = b"\x80\x04}N\x85" + b"2\x86" * 60 + b"Ns."
    with pytest.raises(FileFormatError, match="key"):
        load(data)


def test_a_truncated_pickle_is_refused_at_every_length() -> None:
    whole = pickle.dumps({"a": np.arange(5), "b": ["x", (1, 2.5)]}, protocol=4)
    for length in range(len(whole) - 1):
        with pytest.raises(FileFormatError):
            load(whole[:length])


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_pickles_raise_only_our_errors(data: Any) -> None:
    protocol = data.draw(st.integers(2, 5))
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": {"slices": ["a", "c"]}}
    content = bytearray(pickle.dumps(state, protocol=protocol))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(FileFormatError, UnsafePickleError):
        load(bytes(content))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60))
def test_random_bytes_raise_only_our_errors(data: bytes) -> None:
    with suppress(FileFormatError, UnsafePickleError):
        load(data)


PAIRS = b"](" + b"".join(b"X\x04\x00\x00\x00%04d\x88\x86" % i for i in range(5000)) + b"e"
REPEATED = {
    "tuple": (b"cbuiltins\ntuple\n", b"](" + b"N" * 40_000 + b"e", b"\x85"),
    "torch.Size": (b"ctorch\nSize\n", b"(" + b"N" * 40_000 + b"t", b"\x85"),
    "OrderedDict": (b"ccollections\nOrderedDict\n", PAIRS, b"\x85"),
    "text": (b"c_codecs\nencode\n", b"X\x00\x10\x00\x00" + b"x" * 4096, b"\x85"),
    "arguments": (b"cnumpy\ndtype\n", b"(X\x02\x00\x00\x00f4" + b"N" * 40_000 + b"t", b""),
}


@pytest.mark.parametrize("name", REPEATED)
def test_copies_of_one_object_are_bounded_by_the_length_of_the_pickle(name: str) -> None:
    function, argument, wrapped = REPEATED[name]
    call = b"h\x00h\x01" + wrapped + b"R"
    once = b"\x80\x02](" + function + b"q\x00" + argument + b"q\x01" + wrapped + b"R"
    data = once + call * 20_000 + b"e."
    assert PickleReader(once + b"e.", PATH, TORCH_GLOBALS).load()
    started = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="copied more elements than it has bytes"):
            PickleReader(data, PATH, TORCH_GLOBALS).load()
        assert tracemalloc.get_traced_memory()[1] < 40 * len(data)
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 5


def nested(levels: int) -> bytes:
    """A tuple of a tuple twice, and so on: a few bytes a level, 2 ** levels elements."""
    return b"N\x85" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(levels))


@pytest.mark.parametrize("suffix", ["pdparams", "bin"])
def test_nested_tuples_are_neither_hashed_nor_printed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    if suffix == "pdparams":
        slices = b"}X\x06\x00\x00\x00slices](" + nested(24) + b"es"
        path.write_bytes(b"\x80\x02}" + pickle.dumps("UnpackBigParamInfor@@", 2)[2:-3])
        with path.open("ab") as stream:
            stream.write(b"}X\x01\x00\x00\x00a" + slices + b"ss.")
    else:
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        path.write_bytes(magic + b"\x80\x02" + nested(24) + b"." + pickle.dumps({}, 2))
    started = time.process_time()
    with pytest.raises(FileFormatError, match=r"are no names|unknown version"):
        (open_pdparams if suffix == "pdparams" else open_torch)(path)
    assert time.process_time() - started < 0.5
