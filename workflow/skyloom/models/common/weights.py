"""Published weights: the tensors of a file that others wrote, by name, without running anything that is in it.

Two forms are read: safetensors, and the zip files of ``torch.save``, among them checkpoints of Lightning. The latter
hold a pickle, that is a program, and tensors beside it. `torch.load` runs that program; with `weights_only=True` it
runs parts of it, refuses checkpoints that name other classes (Lightning keeps the networks among the hyperparameters),
and has been found wanting before. Here the pickle is only told (`pickles`); of what it says a tensor's place in the
file and its shape are used, checked, and the bytes there read.
"""

import math
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from skyloom.core.errors import BadInput
from skyloom.models.common.pickles import Call, Kept, Name, told

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_TENSOR, _PARAMETERS = "torch._utils._rebuild_tensor_v2", ("torch._utils._rebuild_parameter",)


@dataclass(frozen=True)
class _View:
    """A tensor of a checkpoint: which stored numbers, and how they lie."""

    key: str
    dtype: torch.dtype
    count: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Weights(Mapping[str, Tensor]):
    """The tensors of a file by dotted name; each is read when it is asked for.

    Of a checkpoint, names begin with those of the dictionaries around them: ``state_dict.head.weight``. What lies in
    lists or objects (states of optimizers, hyperparameters) is left out.

    Raises
    ------
    BadInput : the file is missing, damaged, or of another form; one line that says so.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise BadInput(f"{path}: no such file")
        self._zip = zipfile.ZipFile(self.path) if zipfile.is_zipfile(self.path) else None
        if self._zip is None:
            try:
                with safe_open(self.path, "pt") as file:
                    self._views = dict.fromkeys(file.keys())
            except (SafetensorError, OSError) as error:
                raise self._bad(f"neither safetensors nor a zip of torch.save ({error})") from error
            return
        roots = [name.removesuffix("data.pkl") for name in self._zip.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise self._bad(f"{len(roots)} pickles in the zip; expected the one of torch.save")
        self._root = roots[0]
        try:
            tree = told(self._stored(f"{self._root}data.pkl"))
        except BadInput as error:
            raise self._bad(str(error)) from error
        self._views = dict(self._leaves(tree, ""))

    def _bad(self, text: str) -> BadInput:
        return BadInput(f"{self.path}: {text}; look whether it is the file you want, delete it and fetch it again")

    def _leaves(self, tree: object, prefix: str, depth: int = 0) -> Iterator[tuple[str, _View]]:
        for key, value in tree.items() if type(tree) is dict and depth < 16 else ():
            if isinstance(value, Call) and isinstance(value.of, Name) and value.of.text in _PARAMETERS:
                value = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else None
            if isinstance(value, Call) and value.of == Name(_TENSOR):
                yield f"{prefix}{key}", self._view(f"{prefix}{key}", value)
            elif type(value) is dict:
                yield from self._leaves(value, f"{prefix}{key}.", depth + 1)

    def _view(self, name: str, call: Call) -> _View:
        """What a call that would make a tensor says of it; BadInput if that cannot be."""
        try:
            storage, offset, size, stride = call.arguments[:4]
            what, kind, key, _, count = storage.where if isinstance(storage, Kept) else ()
            dtype = DTYPES[kind.text.rpartition(".")[2]]
            numbers = (offset, count, *size, *stride)
            right = what == "storage" and isinstance(key, str) and len(size) == len(stride)
            right &= all(type(number) is int and number >= 0 for number in numbers)
            reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
            if not right or math.prod(size) > count or (math.prod(size) and reach > count):
                raise ValueError(f"shape {tuple(size)}, stride {tuple(stride)}, offset {offset} of {count} numbers")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._bad(f"the tensor {name} is not one that can be read ({error})") from error
        return _View(key, dtype, count, offset, tuple(size), tuple(stride))

    def _stored(self, member: str) -> bytes:
        """The bytes of a member, which must lie in the zip as they are: a small file cannot become a large one."""
        try:
            info = self._zip.getinfo(member)
            if info.compress_type != zipfile.ZIP_STORED:
                raise self._bad(f"{member} is compressed; torch.save does not do that")
            return self._zip.read(info)
        except (KeyError, zipfile.BadZipFile, OSError, EOFError) as error:
            raise self._bad(f"{member} is missing or damaged ({error})") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, name: str) -> Tensor:
        view = self._views[name]
        if view is None:
            with safe_open(self.path, "pt") as file:
                return file.get_tensor(name)
        if sys.byteorder != "little":
            raise self._bad("it is read on machines with little-endian numbers only")
        stored = bytearray(self._stored(f"{self._root}data/{view.key}"))
        if len(stored) != view.count * view.dtype.itemsize:
            raise self._bad(f"{name} has {len(stored)} bytes, expected {view.count * view.dtype.itemsize}")
        if not view.count:
            return torch.zeros(view.size, dtype=view.dtype)
        return torch.frombuffer(stored, dtype=view.dtype).as_strided(view.size, view.stride, view.offset).clone()

    def below(self, anchors: Sequence[str]) -> dict[str, Tensor]:
        """The tensors of one network, by their names in it.

        Parameters
        ----------
        anchors : beginnings and the name of one tensor after them, as "teacher.backbone.|cls_token": the first of which
            the file has the tensor says which names are meant, and what they begin with

        Raises
        ------
        BadInput : the file has none of them.
        """
        for anchor in anchors:
            prefix, _, name = anchor.rpartition("|")
            if prefix + name in self:
                return {n.removeprefix(prefix): self[n] for n in self if n.startswith(prefix)}
        expected = ", ".join(anchor.replace("|", "") for anchor in anchors)
        there = ", ".join(list(self)[:3])
        raise self._bad(f"none of {expected} is among its {len(self)} tensors ({there}, ...)")
