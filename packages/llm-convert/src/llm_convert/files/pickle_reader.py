"""A pickle interpreter that can build plain values and nothing else.

Python's own unpickler imports and calls whatever a file names. This one knows the opcodes that
checkpoints use, keeps a table of the names it admits (`Globals`: module and name -> a function of
ours that builds a description), and refuses every other name before anything happens. It works on
a memory map: byte strings become `ByteRange`s of the file and are never copied, and lengths are
checked against the file before use. An opcode makes at most one small object, and the calls of
admitted names take and give, all together, no more elements and bytes than the opcodes read so far
have bytes; so memory and time grow with the length of a pickle, however often it names one object.

What it refuses to know: classes, imports, extension codes, sets, callbacks on instances.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from llm_convert.errors import FileFormatError, UnsafePickleError
from llm_convert.files.tensor_file import ByteRange

# What stands for an admitted global: a function of ours that REDUCE calls, or a plain token.
Globals = Mapping[tuple[str, str], Any]

_MARK: Final = object()
# Texts up to this many bytes are decoded at once; longer ones stay in the file (protocol 2 writes
# the bytes of arrays as text).
_SHORT_TEXT = 4096
_MAX_PROTOCOL = 5


class Buildable:
    """A description that a BUILD opcode may complete."""

    def build(self, state: Any) -> None:
        """Take over the state that the pickle holds; ValueError if it makes no sense."""
        raise NotImplementedError


class LongText(ByteRange):
    """UTF-8 text left in the file."""


class PickleReader:
    """Interprets one pickle inside a buffer.

    Args:
        data: the whole file (a memory map).
        path: for messages.
        admitted: the names a pickle may use.
        persistent: makes the value of a persistent id; without it such ids are refused.
        start, stop: where in `data` the pickle lies.
    """

    def __init__(
        self,
        data: Any,
        path: Path,
        admitted: Globals,
        *,
        persistent: Callable[[Any], Any] | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        self._data = data
        self._path = path
        self._admitted = admitted
        self._persistent = persistent
        self._at = start
        self._stop = len(data) if stop is None else stop
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._allowance = 0

    def load(self) -> Any:
        """The value of the pickle.

        Raises:
            UnsafePickleError: it uses a name that is not admitted.
            FileFormatError: it is truncated or malformed.
        """
        try:
            while True:
                code = self._take(1)[0]
                if code == 0x2E:  # STOP
                    return self._stack.pop()
                handler = _HANDLERS.get(code)
                if handler is None:
                    self._refuse(f"the opcode {chr(code)!r}")
                handler(self)
        except (UnsafePickleError, FileFormatError):
            raise
        except (IndexError, KeyError, ValueError, TypeError, struct.error, OverflowError) as error:
            message = f"{self._path}: malformed pickle near byte {self._at}: {error}."
            raise FileFormatError(message) from error

    @property
    def position(self) -> int:
        """Where in the buffer the next byte is read: behind the pickle once it is loaded."""
        return self._at

    # -- reading ------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        start, stop = self._skip(size)
        self._allowance += size
        return bytes(self._data[start:stop])

    def _skip(self, size: int) -> tuple[int, int]:
        start, stop = self._at, self._at + size
        if size < 0 or stop > self._stop:
            message = (
                f"{self._path} is truncated or damaged: the pickle wants {size} bytes at byte "
                f"{start}, {self._stop - start} are left."
            )
            raise FileFormatError(message)
        self._at = stop
        return start, stop

    def _integer(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, min(self._stop, self._at + _SHORT_TEXT))
        if end < 0:
            message = f"{self._path}: malformed pickle near byte {self._at}: an endless line."
            raise FileFormatError(message)
        text = self._take(end - self._at).decode("utf-8")
        self._at += 1
        return text

    def _refuse(self, what: str) -> NoReturn:
        message = (
            f"{self._path} is refused: its pickle asks for {what}, which is not needed to "
            "rebuild tensors. Nothing was executed. Do not load this file with other tools."
        )
        raise UnsafePickleError(message)

    # -- the stack ----------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        message = "no mark on the stack"
        raise ValueError(message)

    def _pop_many(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            message = "the stack is empty"
            raise ValueError(message)
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return items

    # -- opcodes ------------------------------------------------------------------------------

    def _protocol(self) -> None:
        protocol = self._integer(1)
        if protocol > _MAX_PROTOCOL:
            message = f"protocol {protocol} is unknown, {_MAX_PROTOCOL} is the highest"
            raise ValueError(message)

    def _text(self, width: int) -> None:
        start, stop = self._skip(self._integer(width))
        if stop - start > _SHORT_TEXT:
            self._push(LongText(start, stop))
        else:
            self._allowance += stop - start
            self._push(bytes(self._data[start:stop]).decode("utf-8"))

    def _bytes(self, width: int) -> None:
        self._push(ByteRange(*self._skip(self._integer(width))))

    def _long(self, width: int) -> None:
        size = self._integer(width)
        # Checkpoints count in 64 bits; longer integers only make work.
        if size > 16:
            message = f"an integer of {size} bytes"
            raise ValueError(message)
        self._push(self._integer(size, signed=True))

    def _decimal(self) -> None:
        line = self._line().removesuffix("L")
        self._push(line == "01" if line in ("00", "01") else int(line))

    def _append(self) -> None:
        target, item = self._pop_many(2)
        self._extend(target, [item])

    def _appends(self) -> None:
        items = self._pop_mark()
        self._extend(self._stack.pop(), items)

    def _extend(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, list):
            message = f"cannot append to a {type(target).__name__}"
            raise TypeError(message)
        target.extend(items)
        self._push(target)

    def _set_item(self) -> None:
        target, key, value = self._pop_many(3)
        self._update(target, [key, value])

    def _set_items(self) -> None:
        items = self._pop_mark()
        self._update(self._stack.pop(), items)

    def _dictionary(self) -> None:
        self._update({}, self._pop_mark())

    def _update(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            message = f"cannot set items of a {type(target).__name__}"
            raise TypeError(message)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing nested tuples can take exponential time; checkpoints need none.
            if not isinstance(key, str | int):
                message = f"a key of type {type(key).__name__}"
                raise TypeError(message)
            if key in target:
                message = f"the key {str(key)[:100]!r} occurs more than once"
                raise ValueError(message)
            target[key] = value
        self._push(target)

    def _tuple(self, count: int) -> None:
        self._push(tuple(self._pop_many(count)))

    def _remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            message = "a global whose name is no text"
            raise TypeError(message)
        maker = self._admitted.get((module, name))
        if maker is None:
            self._refuse(f"{module}.{name}")
        self._push(maker)

    def _instance(self) -> None:
        self._refuse(f"an instance of {self._line()}.{self._line()}")

    def _reduce(self) -> None:
        maker, arguments = self._pop_many(2)
        if not callable(maker) or not isinstance(arguments, tuple):
            message = f"cannot call a {type(maker).__name__}"
            raise TypeError(message)
        self._charge(len(arguments))
        made = maker(*arguments)
        if isinstance(made, bytes | list | tuple | dict):
            self._charge(len(made))
        self._push(made)

    def _charge(self, elements: int) -> None:
        """A few bytes can name a long list again and again; each call would copy all of it."""
        self._allowance -= elements
        if self._allowance < 0:
            message = (
                f"{self._path} is refused: near byte {self._at}, the calls in its pickle have "
                "copied more elements than it has bytes. No writer of checkpoints does that; take "
                "the model's safetensors."
            )
            raise FileFormatError(message)

    def _build(self) -> None:
        target, state = self._pop_many(2)
        if isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict):  # an OrderedDict's attributes (torch: _metadata)
            message = f"cannot set the state of a {type(target).__name__}"
            raise TypeError(message)
        self._push(target)

    def _persistent_id(self) -> None:
        identity = self._stack.pop()
        if self._persistent is None:
            self._refuse("an object outside the file (a persistent id)")
        self._push(self._persistent(identity))


_Handler = Callable[[PickleReader], Any]
_HANDLERS: Mapping[int, _Handler] = {
    ord(code): handler
    for code, handler in {
        "\x80": PickleReader._protocol,
        "\x95": lambda r: r._take(8),  # FRAME: a hint for buffering
        "(": lambda r: r._push(_MARK),
        "0": lambda r: r._stack.pop(),
        "1": lambda r: r._pop_mark(),
        "2": lambda r: r._push(r._stack[-1]),
        "N": lambda r: r._push(None),
        "\x88": lambda r: r._push(True),
        "\x89": lambda r: r._push(False),
        "J": lambda r: r._push(r._integer(4, signed=True)),
        "K": lambda r: r._push(r._integer(1)),
        "M": lambda r: r._push(r._integer(2)),
        "V": lambda r: r._push(r._line().encode().decode("raw_unicode_escape")),
        "I": PickleReader._decimal,
        "L": PickleReader._decimal,
        "\x8a": lambda r: r._long(1),
        "\x8b": lambda r: r._long(4),
        "G": lambda r: r._push(struct.unpack(">d", r._take(8))[0]),
        "X": lambda r: r._text(4),
        "\x8c": lambda r: r._text(1),
        "\x8d": lambda r: r._text(8),
        "B": lambda r: r._bytes(4),
        "C": lambda r: r._bytes(1),
        "\x8e": lambda r: r._bytes(8),
        "\x96": lambda r: r._bytes(8),  # BYTEARRAY8
        "]": lambda r: r._push([]),
        "a": PickleReader._append,
        "e": PickleReader._appends,
        "l": lambda r: r._push(r._pop_mark()),
        ")": lambda r: r._push(()),
        "t": lambda r: r._push(tuple(r._pop_mark())),
        "\x85": lambda r: r._tuple(1),
        "\x86": lambda r: r._tuple(2),
        "\x87": lambda r: r._tuple(3),
        "}": lambda r: r._push({}),
        "d": PickleReader._dictionary,
        "s": PickleReader._set_item,
        "u": PickleReader._set_items,
        "h": lambda r: r._push(r._memo[r._integer(1)]),
        "j": lambda r: r._push(r._memo[r._integer(4)]),
        "g": lambda r: r._push(r._memo[int(r._line())]),
        "q": lambda r: r._remember(r._integer(1)),
        "r": lambda r: r._remember(r._integer(4)),
        "p": lambda r: r._remember(int(r._line())),
        "\x94": lambda r: r._remember(len(r._memo)),
        "c": lambda r: r._global(r._line(), r._line()),
        "\x93": lambda r: r._global(*r._pop_many(2)),
        "i": PickleReader._instance,
        "R": PickleReader._reduce,
        "b": PickleReader._build,
        "Q": PickleReader._persistent_id,
    }.items()
}
