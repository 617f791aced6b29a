"""What a pickle says, told and not done: a pickle of an untrusted file is a program, and here it is only read.

A pickle's opcodes build containers, name functions and ask for them to be called. `told` follows the opcodes and builds
the containers; a function that is named stays a `Name`, a call that is asked for a `Call`, an object a `Call` of its
class. Nothing is imported, nothing that the file names is ever called, and Python's own unpickler is not used, so that
there is no list of what is allowed that could be too long.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field

from skyloom.core.errors import BadInput

LONGEST = 2**26
"""Bytes of a pickle that is read; those of checkpoints of a thousand tensors are a few hundred thousand."""


@dataclass(frozen=True)
class Name:
    """A function or class that the pickle names, "module.attribute"."""

    text: str


@dataclass(eq=False)
class Call:
    """A call, or a new object, that the pickle asks for; what it would do with it afterwards is dropped."""

    of: object
    arguments: object = field(repr=False)


@dataclass(frozen=True)
class Kept:
    """What the pickle says lies outside of it (a persistent id)."""

    where: object


class _Mark:
    """Where in the stack the contents of a container begin."""


_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_NEW: dict[str, Callable] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
    "MARK": _Mark,
}
_PUT, _GET = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


def told(pickle: bytes) -> object:
    """What a pickle would make: containers, numbers and texts, with `Name`, `Call` and `Kept` in place of the rest.

    Sets are given as lists. Raises BadInput for bytes that are no pickle, or one that is too long.
    """
    if len(pickle) > LONGEST:
        raise BadInput(f"a pickle of {len(pickle)} bytes; expected at most {LONGEST}")
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadInput(f"not a pickle that can be read ({error})") from error
    raise BadInput("a pickle that breaks off")


class _Machine:
    """The stack and the memory that opcodes work on."""

    def __init__(self):
        self.stack: list = []
        self.memory: dict[int, object] = {}

    def step(self, name: str, argument: object) -> None:
        """One opcode."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _NEW:
            stack.append(_NEW[name]())
        elif name in _PUT:
            self.memory[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = stack[-1]
        elif name in _GET:
            stack.append(self.memory[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(self._last(int(name[-1])))
        elif name not in ("PROTO", "FRAME"):
            getattr(self, f"_{name.lower()}")(argument)

    def _last(self, count: int) -> tuple:
        found = tuple(self.stack[len(self.stack) - count :])
        if len(found) < count:
            raise IndexError("the stack is empty")
        del self.stack[len(self.stack) - count :]
        return found

    def _since_mark(self) -> list:
        start = next(i for i in reversed(range(len(self.stack))) if isinstance(self.stack[i], _Mark))
        found = self.stack[start + 1 :]
        del self.stack[start:]
        return found

    def _tuple(self, _) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _list(self, _) -> None:
        self.stack.append(self._since_mark())

    _frozenset = _list

    def _dict(self, _) -> None:
        found = self._since_mark()
        self.stack.append(dict(zip(found[::2], found[1::2], strict=True)))

    def _append(self, _) -> None:
        (value,) = self._last(1)
        self._extend([value])

    def _appends(self, _) -> None:
        self._extend(self._since_mark())

    _additems = _appends

    def _extend(self, values: list) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)

    def _setitem(self, _) -> None:
        self._update(list(self._last(2)))

    def _setitems(self, _) -> None:
        self._update(self._since_mark())

    def _update(self, found: list) -> None:
        if type(self.stack[-1]) is dict:
            self.stack[-1].update(zip(found[::2], found[1::2], strict=True))

    def _global(self, argument: str) -> None:
        self.stack.append(Name(argument.replace(" ", ".", 1)))

    def _stack_global(self, _) -> None:
        module, name = self._last(2)
        self.stack.append(Name(f"{module}.{name}"))

    def _reduce(self, _) -> None:
        of, arguments = self._last(2)
        ordered = of == Name("collections.OrderedDict") and not arguments  # filled by SETITEMS, as a dict
        self.stack.append({} if ordered else Call(of, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _) -> None:
        of, arguments, _ = self._last(3)
        self.stack.append(Call(of, arguments))

    def _inst(self, argument: str) -> None:
        self.stack.append(Call(Name(argument.replace(" ", ".", 1)), tuple(self._since_mark())))

    def _obj(self, _) -> None:
        of, *arguments = self._since_mark()
        self.stack.append(Call(of, tuple(arguments)))

    def _build(self, _) -> None:
        self._last(1)

    _pop = _build

    def _pop_mark(self, _) -> None:
        self._since_mark()

    def _dup(self, _) -> None:
        self.stack.append(self.stack[-1])

    def _binpersid(self, _) -> None:
        (where,) = self._last(1)
        self.stack.append(Kept(where))

    def _persid(self, argument: str) -> None:
        self.stack.append(Kept(argument))
