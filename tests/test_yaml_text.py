"""YAML is read as people write it, and holds plain values alone."""

from __future__ import annotations

import math
import random
import string
from contextlib import suppress
from pathlib import Path

import pytest

from mlmd.cli.options import assignments
from mlmd.errors import InputError
from mlmd.protocol import Protocol
from mlmd.yaml_text import MOST_CHARACTERS, number_of, read_yaml, read_yaml_file, to_yaml

NUMBERS = {
    "1e3": 1000, "1E3": 1000, "2e-3": 0.002, "1E-5": 1e-5, "+1.5e+2": 150.0, "-1e2": -100,
    ".5": 0.5, "5.": 5.0, "-.5e1": -5.0, "5.e1": 50.0, "1_000": 1000, "1_000.5": 1000.5,
    "010": 10, "+7": 7, "0x1F": 31, "0o17": 15, "1e22": 1e22, "-0": 0, "1.7e308": 1.7e308,
    ".inf": math.inf, "-.INF": -math.inf,
}  # fmt: skip
TEXTS = ["1:30", "12:30:45", "2024-01-01", "2024-01-01 10:00:00", "0b1", "1__0", "1_", "_1", "e3",
         "1e", ".", "1e5_0", "1.2.3", "0xg", "x1", "LiCl", "cuda:0", "=", "1,5"]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_read_as_people_write_them(text: str) -> None:
    for found in (read_yaml(text, "x"), number_of(text), assignments([f"a={text}"], "--set")["a"]):
        assert found == NUMBERS[text]
        assert type(found) is type(NUMBERS[text])
    assert read_yaml(f"{{a: [{text}], b: {text}}}", "x")["a"] == [NUMBERS[text]]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_number_is_a_text(text: str) -> None:
    assert read_yaml(text, "x") == text
    assert number_of(text) is None


def test_not_a_number_is_one_that_checks_refuse() -> None:
    assert math.isnan(read_yaml(".nan", "x"))
    assert math.isnan(read_yaml(".NaN", "x"))


def test_a_recipe_takes_such_numbers_for_times_and_for_counts() -> None:
    settings = assignments(["relax.max_steps=1e2", "melt.temperature_K=1.2e3"], "--set")
    protocol = Protocol.load("quickstart").with_settings(settings)
    assert protocol.stage("relax").to_dict()["max_steps"] == 100
    assert protocol.stage("melt").to_dict()["temperature_K"] == 1200.0


def test_keys_are_the_texts_that_are_written() -> None:
    content = read_yaml("{1: a, No: b, 2024-01-01: c, on: d, 1e3: e}", "x")
    assert content == {"1": "a", "No": "b", "2024-01-01": "c", "on": "d", "1e3": "e"}


def test_anchors_and_merges_are_read() -> None:
    text = "base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\nsame: *base\n"
    assert read_yaml(text, "x")["own"] == {"a": 1, "b": 3}


REFUSED = {
    "{a: 1, a: 2}": "'a' is there twice",
    "{a: {b: 1, 'b': 2}}": "'b' is there twice",
    "1e400": "larger than a number can be",
    "-1e999": "larger than a number can be",
    "9" * 5000: "larger than a number can be",
    "0x" + "f" * 5000: "larger than a number can be",
    "!!python/object/apply:os.system [ls]": "the tag !!python/object/apply:os.system is not read",
    "!foo 1": "the tag !foo is not read",
    "!!binary aGk=": "!!binary",
    "!!set {a}": "!!set",
    "!!omap [a: 1]": "!!omap",
    "!!timestamp 2024-01-01": "!!timestamp",
    "!!int x": "'x' is no number",
    "!!float x": "'x' is no number",
    "!!bool x": "'x' is not bool",
    "!!null x": "'x' is not null",
    "!!map x": "no mapping",
    "&a [*a]": "inside itself",
    "&a {b: {c: *a}}": "inside itself",
    "*a": "undefined alias",
    "? [a]\n: b": "a key is no text",
    "a\n---\nb": "another document",
    "a\0b": "not allowed",
    "\udcff": "not allowed",
    '"\\0"': "characters of no text",
    '"\\ud800"': "characters of no text",
    '"\\UFFFFFFFF"': "cannot be read as YAML",
    "[" * 100_000: "levels deep",
    "{a: " * 3000: "levels deep",
    "- " * 3000: "levels deep",
    "[a: 1": "line 1, column 6",
    "a: b: c": "line 1",
    "@": "cannot start",
    "x" * (MOST_CHARACTERS + 1): "characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20].encode("unicode_escape"))
def test_what_is_no_plain_value_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_yaml(text, "here")
    line = str(caught.value)
    assert line.startswith("here ")
    assert REFUSED[text] in line
    assert "\n" not in line
    assert len(line) < 300


def test_ten_lines_do_not_become_more_than_memory_holds() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    with pytest.raises(InputError, match="more than 50000 values"):
        read_yaml("\n".join(lines), "x")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("n: \xe9".encode("latin-1"))
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml_file(tmp_path / "marked") == {"a": 1}
    for name, said in (("latin", "not UTF-8"), ("absent", "no file"), ("x" * 300, "too long")):
        with pytest.raises(InputError, match=said):
            read_yaml_file(tmp_path / name)
    with pytest.raises(InputError, match="is a folder"):
        read_yaml_file(tmp_path)


def test_what_is_written_is_read_back() -> None:
    rng = random.Random(0)
    letters = "0123456789eE+-._:#{}[]&*!|>'\"%@`, \n" + string.ascii_letters + "éµ"
    values: list[object] = [
        *NUMBERS,
        *TEXTS,
        "",
        " ",
        "yes",
        "No",
        "~",
        "null",
        "<<",
        "- a",
        "a: b",
    ]
    values += ["".join(rng.choices(letters, k=rng.randint(1, 8))) for _ in range(400)]
    values += [1e16, 1e-5, 0.1, math.inf, 5, True, None, [1, {"a": []}], 10**20]
    for value in values:
        for in_one_line in (False, True):
            assert read_yaml(to_yaml({"a": value}, in_one_line), "x") == {"a": value}
            assert read_yaml(to_yaml({str(value): 1}, in_one_line), "x") == {str(value): 1}


def test_no_text_gives_a_foreign_exception() -> None:
    rng = random.Random(1)
    parts = [*NUMBERS, *TEXTS, *(text[:30] for text in REFUSED), "{", "}", "[", "]", ": ", ", ",
             "\n", "- ", "  ", "&a ", "*a", "<<: ", "? ", "|", ">", "'", '"', "\\x", "%YAML 1.2\n",
             "---", "...", "#", "!!str ", "!!map ", "!!seq ", "!<tag:x> ", "\t", "\r", "\x85",
             "\ufeff"]  # fmt: skip
    for _ in range(3000):
        text = "".join(rng.choices(parts, k=rng.randint(1, 12)))
        with suppress(InputError):
            read_yaml(text, "x")
