"""Tables of numbers in text: the same bits as number by number, or no table."""

import random

import numpy as np
import pytest

from mlmd.trajectory.text.number_table import parse_table

NUMBERS = b" -.0123456789\n\te+x"


def number_by_number(text: bytes, n_rows: int, n_columns: int) -> np.ndarray | None:
    lines = text.split(b"\n")
    words = [line.split() for line in lines[:-1]]
    if lines[-1] or len(words) != n_rows or any(len(row) != n_columns for row in words):
        return None
    try:
        table = np.array([[float(word) for word in row] for row in words])
    except ValueError:
        return None
    return table if np.isfinite(table).all() else None


@pytest.mark.parametrize("n_changed", [0, 1, 2])
def test_tables_of_fixed_width_and_what_looks_like_them(n_changed):
    """As Fortran writes them, of any width and sign, and with characters exchanged."""
    rng = random.Random(n_changed)
    n_tables = 0
    for _ in range(1500):
        n_rows, n_columns, width = rng.randint(1, 5), rng.randint(1, 4), rng.choice([8, 12, 18])
        form = f"{{:{width}.{rng.randint(1, min(10, width - 4))}f}}"
        size = 10.0 ** rng.randint(-3, 2)
        rows = [[rng.uniform(-size, size) for _ in range(n_columns)] for _ in range(n_rows)]
        text = bytearray("".join("".join(map(form.format, row)) + "\n" for row in rows).encode())
        for _ in range(n_changed):
            text[rng.randrange(len(text))] = rng.choice(NUMBERS)
        expected = number_by_number(bytes(text), n_rows, n_columns)
        found = parse_table(bytes(text), n_rows, n_columns)
        if found is None:
            assert expected is None
            continue
        n_tables += 1
        assert expected is not None, bytes(text)
        assert found.view(np.int64).tolist() == expected.view(np.int64).tolist(), bytes(text)
    assert n_tables > 300
