"""Universal Binary JSON (https://ubjson.org, draft 12), as far as XGBoost writes it."""

from __future__ import annotations

from typing import Any

import numpy as np

_FIXED = {b"Z": None, b"T": True, b"F": False}
_NUMBERS = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"l": ">i4",
    b"L": ">i8",
    b"d": ">f4",
    b"D": ">f8",
}
_MOST_DEPTH = 100


class _Reader:
    """What is read, and how far."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, n: int) -> bytes:
        found = self.data[self.place : self.place + n]
        if n < 0 or len(found) < n:
            raise ValueError("it ends early")
        self.place += n
        return found

    def peek(self) -> bytes:
        return self.data[self.place : self.place + 1]

    def number(self, kind: bytes) -> Any:
        if kind not in _NUMBERS:
            raise ValueError(f"no number is of type {kind!r}")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()

    def count(self) -> int:
        return int(self.number(self.take(1)))

    def text(self) -> str:
        return self.take(self.count()).decode()

    def value(self, depth: int = 0) -> Any:
        kind = self.take(1)
        if depth > _MOST_DEPTH:
            raise ValueError("it is nested too deeply")
        if kind in _FIXED:
            return _FIXED[kind]
        if kind == b"S":
            return self.text()
        if kind == b"C":
            return self.take(1).decode()
        if kind == b"[":
            return self.array(depth)
        if kind == b"{":
            return self.mapping(depth)
        return self.number(kind)

    def mapping(self, depth: int) -> dict[str, Any]:
        found = {}
        while self.peek() != b"}":
            name = self.text()
            found[name] = self.value(depth + 1)
        self.take(1)
        return found

    def array(self, depth: int) -> Any:
        if self.peek() == b"$":
            self.take(1)
            kind = self.take(1)
            if kind not in _NUMBERS or self.take(1) != b"#":
                raise ValueError("an array is of no known type")
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(self.count() * dtype.itemsize), dtype)
        if self.peek() == b"#":
            self.take(1)
            return [self.value(depth + 1) for _ in range(self.count())]
        found = []
        while self.peek() != b"]":
            found.append(self.value(depth + 1))
        self.take(1)
        return found


def read_ubjson(data: bytes) -> Any:
    """Return what is written; typed arrays are NumPy's.

    Raises
    ------
    ValueError
        If it is not understood.
    """
    try:
        return _Reader(data).value()
    except OverflowError as error:
        raise ValueError(str(error)) from error
