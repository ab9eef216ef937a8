"""The machine of pickle(5 protocols) that makes a `Listing`: bounded in operations, memory and bytes read."""

from collections.abc import Callable
from typing import Any

from mlosd.content.encodings.joblib_arrays import WRAPPER, array_size
from mlosd.content.encodings.pickled import (
    UNKNOWN,
    Blob,
    Global,
    Listing,
    Made,
    Mapped,
    Persistent,
    Sequence,
    Value,
)
from mlosd.content.encodings.stream import Stream
from mlosd.content.window import Damaged

MOST_OPERATIONS = 300_000
_MOST_TEXT = 300
_MOST_LINE = 4096
_MOST_LONG = 512
_DEPTH = 4


def listing(stream: Stream, most: int = MOST_OPERATIONS) -> Listing:
    """Run the pickle that begins there. Raises Damaged where it is none, or breaks off, with what came before lost.

    After `most` operations the listing is what there is then, and `stopped` is False.
    """
    machine = _Machine(stream, most, depth=0)
    return machine.run()


def beginning(stream: Stream) -> Listing:
    """As `listing`, but what came before damage, or before the end of a cut file, is kept."""
    machine = _Machine(stream, MOST_OPERATIONS, depth=0)
    try:
        return machine.run()
    except Damaged:
        machine.settle()
        return machine.listing


class _Machine:
    def __init__(self, stream: Stream, most: int, *, depth: int) -> None:
        self.listing = Listing()
        self._stream = stream
        self._most = most
        self._depth = depth
        self._stack: list[Value] = []
        self._below: list[list[Value]] = []
        self._memo: dict[int, Value] = {}

    def run(self) -> Listing:
        stream, listing_ = self._stream, self.listing
        while listing_.operations < self._most:
            operation = stream.take(1)[0]
            listing_.operations += 1
            if operation == _STOP:
                listing_.root = self._pop()
                listing_.stopped = True
                break
            step = _STEPS.get(operation)
            if step is None:
                raise Damaged(f"it has no operation {operation}")
            step(self)
        else:
            self.settle()
        listing_.end = stream.at
        return listing_

    def settle(self) -> None:
        """The bottom of the stack will be the root: everything else is on its way into it."""
        lowest = next((stack for stack in [*self._below, self._stack] if stack), None)
        self.listing.root = lowest[0] if lowest else UNKNOWN

    # The stack.

    def _pop(self) -> Value:
        if not self._stack:
            raise Damaged("it takes from an empty stack")
        return self._stack.pop()

    def _top(self) -> Value:
        if not self._stack:
            raise Damaged("it looks at an empty stack")
        return self._stack[-1]

    def _push(self, value: Value) -> None:
        self._stack.append(value)

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Value]:
        if not self._below:
            raise Damaged("it ends a list that it did not begin")
        values, self._stack = self._stack, self._below.pop()
        return values

    # Arguments.

    def _text_line(self) -> str:
        return self._stream.line(_MOST_LINE).decode("utf-8", "replace")

    def _text(self, length: int) -> None:
        self._push(self._stream.some(length, _MOST_TEXT).decode("utf-8", "replace"))

    def _blob(self, length: int) -> None:
        self._stream.skip(length)
        self._push(Blob(length))

    def _short_bytes(self, length: int) -> None:
        # Protocol 2 has no bytes: short strings of Python 2 are names as often as data.
        self._push(self._stream.some(length, _MOST_TEXT).decode("latin-1"))

    def _long(self, length: int) -> None:
        self._push(int.from_bytes(self._stream.some(length, _MOST_LONG), "little", signed=True))

    def _number_line(self) -> None:
        digits = self._text_line().rstrip("L")
        if digits in ("00", "01"):
            self._push(digits == "01")
            return
        try:
            self._push(int(digits))
        except ValueError as e:
            raise Damaged("a number in it is none") from e

    def _float_line(self) -> None:
        try:
            self._push(float(self._text_line()))
        except ValueError as e:
            raise Damaged("a number in it is none") from e

    def _quoted_line(self) -> None:
        line = self._text_line()
        if len(line) < 2 or line[0] not in "'\"" or line[-1] != line[0]:
            raise Damaged("a string in it is none")
        self._push(line[1:-1][:_MOST_TEXT])

    def _protocol(self) -> None:
        self.listing.protocol = self._stream.u8()
        if self.listing.protocol > 5:
            raise Damaged("it is of a protocol that does not exist")

    # The memo.

    def _remember(self, number: int) -> None:
        self._memo[number] = self._top()

    def _recall(self, number: int) -> None:
        self._push(self._memo.get(number, UNKNOWN))

    def _memo_line(self) -> int:
        digits = self._text_line()
        if not digits.isdecimal() or len(digits) > 10:
            raise Damaged("a number in it is none")
        return int(digits)

    # Containers.

    def _append(self, values: list[Value]) -> None:
        target = self._top()
        if isinstance(target, Sequence):
            target.items += values
        elif isinstance(target, Made):
            target.items += [(None, value) for value in values]

    def _set(self, values: list[Value]) -> None:
        target = self._top()
        if isinstance(target, Mapped | Made):
            target.items += zip(values[::2], values[1::2], strict=False)

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise Damaged("it takes from an empty stack")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        self._push(Sequence("tuple", values))

    def _dict_since_mark(self) -> None:
        values = self._since_mark()
        self._push(Mapped(list(zip(values[::2], values[1::2], strict=False))))

    # What the real machine would import and call.

    def _import(self, module: Value, name: Value) -> None:
        if isinstance(module, str) and isinstance(name, str):
            found = Global(module, name)
            self.listing.globals[found] = None
            self._push(found)
        else:
            self._push(UNKNOWN)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._import(module, name)

    def _call(self, function: Value, arguments: Value) -> None:
        values = tuple(arguments.items) if isinstance(arguments, Sequence) else ()
        made = Made(function, values)
        if isinstance(function, Global):
            self.listing.called[function] = None
        self._push(made)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._call(function, arguments)

    def _new(self, *, keywords: int) -> None:
        for _ in range(keywords):
            self._pop()
        arguments, class_ = self._pop(), self._pop()
        self._push(Made(class_, tuple(arguments.items) if isinstance(arguments, Sequence) else ()))

    def _object(self) -> None:
        class_, *arguments = self._since_mark() or [UNKNOWN]
        self._push(Made(class_, tuple(arguments)))

    def _instance(self) -> None:
        self._import(self._text_line(), self._text_line())
        class_ = self._pop()
        self._push(Made(class_, tuple(self._since_mark())))
        if isinstance(class_, Global):
            self.listing.called[class_] = None

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if not isinstance(target, Made):
            return
        target.state = state
        if target.origin == WRAPPER:
            self._raw_array(state)

    def _raw_array(self, state: Value) -> None:
        """joblib writes the bytes of an array into the pickle, behind its description."""
        size = array_size(state, self._stream)
        if size is not None:
            self._stream.skip(size)
            return
        # An array of objects: a pickle of its own.
        if self._depth >= _DEPTH:
            raise Damaged("arrays in it are nested too deeply")
        inner = _Machine(self._stream, self._most - self.listing.operations, depth=self._depth + 1)
        found = inner.run()
        self.listing.operations += found.operations
        self.listing.globals |= found.globals
        self.listing.called |= found.called

    def _persistent(self, key: Value) -> None:
        found = Persistent(key)
        self.listing.persistent.append(found)
        self._push(found)


_STOP = ord(".")
_Step = Callable[[_Machine], Any]

# Every operation of pickletools.opcodes, by its byte.
_STEPS: dict[int, _Step] = {
    operation[0]: step
    for operation, step in {
        b"\x80": _Machine._protocol,
        b"\x95": lambda m: m._stream.take(8),
        # Numbers.
        b"I": _Machine._number_line,
        b"L": _Machine._number_line,
        b"F": _Machine._float_line,
        b"J": lambda m: m._push(m._stream.i32()),
        b"K": lambda m: m._push(m._stream.u8()),
        b"M": lambda m: m._push(m._stream.u16()),
        b"G": lambda m: m._push(m._stream.f64_big_endian()),
        b"\x8a": lambda m: m._long(m._stream.u8()),
        b"\x8b": lambda m: m._long(m._stream.u32()),
        b"N": lambda m: m._push(None),
        b"\x88": lambda m: m._push(True),
        b"\x89": lambda m: m._push(False),
        # Strings and bytes.
        b"S": _Machine._quoted_line,
        b"V": lambda m: m._push(m._text_line()[:_MOST_TEXT]),
        b"U": lambda m: m._short_bytes(m._stream.u8()),
        b"T": lambda m: m._blob(m._stream.u32()),
        b"X": lambda m: m._text(m._stream.u32()),
        b"\x8c": lambda m: m._text(m._stream.u8()),
        b"\x8d": lambda m: m._text(m._stream.u64()),
        b"C": lambda m: m._blob(m._stream.u8()),
        b"B": lambda m: m._blob(m._stream.u32()),
        b"\x8e": lambda m: m._blob(m._stream.u64()),
        b"\x96": lambda m: m._blob(m._stream.u64()),
        b"\x97": lambda m: m._push(UNKNOWN),
        b"\x98": lambda m: m._top(),
        # The stack and the memo.
        b"(": _Machine._mark,
        b"0": _Machine._pop,
        b"1": _Machine._since_mark,
        b"2": lambda m: m._push(m._top()),
        b"p": lambda m: m._remember(m._memo_line()),
        b"q": lambda m: m._remember(m._stream.u8()),
        b"r": lambda m: m._remember(m._stream.u32()),
        b"\x94": lambda m: m._remember(len(m._memo)),
        b"g": lambda m: m._recall(m._memo_line()),
        b"h": lambda m: m._recall(m._stream.u8()),
        b"j": lambda m: m._recall(m._stream.u32()),
        # Containers.
        b"]": lambda m: m._push(Sequence("list")),
        b"l": lambda m: m._push(Sequence("list", m._since_mark())),
        b"a": lambda m: m._append([m._pop()]),
        b"e": lambda m: m._append(m._since_mark()),
        b")": lambda m: m._push(Sequence("tuple")),
        b"t": lambda m: m._push(Sequence("tuple", m._since_mark())),
        b"\x85": lambda m: m._tuple(1),
        b"\x86": lambda m: m._tuple(2),
        b"\x87": lambda m: m._tuple(3),
        b"}": lambda m: m._push(Mapped()),
        b"d": _Machine._dict_since_mark,
        b"s": lambda m: m._set([m._pop(), m._pop()][::-1]),
        b"u": lambda m: m._set(m._since_mark()),
        b"\x8f": lambda m: m._push(Sequence("set")),
        b"\x90": lambda m: m._append(m._since_mark()),
        b"\x91": lambda m: m._push(Sequence("frozenset", m._since_mark())),
        # Imports and calls.
        b"c": lambda m: m._import(m._text_line(), m._text_line()),
        b"\x93": _Machine._stack_global,
        b"\x82": lambda m: m._stream.skip(1) or m._push(UNKNOWN),
        b"\x83": lambda m: m._stream.skip(2) or m._push(UNKNOWN),
        b"\x84": lambda m: m._stream.skip(4) or m._push(UNKNOWN),
        b"R": _Machine._reduce,
        b"b": _Machine._build,
        b"o": _Machine._object,
        b"i": _Machine._instance,
        b"\x81": lambda m: m._new(keywords=0),
        b"\x92": lambda m: m._new(keywords=1),
        b"P": lambda m: m._persistent(m._text_line()),
        b"Q": lambda m: m._persistent(m._pop()),
    }.items()
}
