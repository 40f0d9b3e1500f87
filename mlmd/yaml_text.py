"""YAML as people write it: the one way to read it, and to write it so that it is read back.

Plain values alone, as in JSON: numbers, true and false, null, text, lists, and mappings whose keys
are texts. Numbers are those of YAML 1.2 (``1e3``, ``1E-5``, ``.5``, ``5.``; ``010`` is ten and
``1:30`` a text), and ``1_000``. A date is a text. Twice the same key is an error, and so is any
tag: it would name a type of some program.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from mlmd.checks import input_file
from mlmd.errors import InputError

MOST_CHARACTERS = 500_000
"""Longer than any recipe; reading takes a few seconds at most."""
MOST_VALUES = 50_000
"""Aliases of aliases make more than memory holds from ten lines."""
MOST_LEVELS = 50
MOST_DIGITS = 300
MOST_DIGITS_OF_WHOLE = 15
"""``1e3`` is the whole number that people mean by it, ``1e22`` a float."""

_DIGITS = r"[0-9](?:_?[0-9])*"
_WHOLE = re.compile(rf"[-+]?{_DIGITS}(?:[eE]\+?[0-9]{{1,2}})?|0x[0-9a-fA-F]+|0o[0-7]+")
_REAL = re.compile(
    rf"[-+]?(?:{_DIGITS}\.?|{_DIGITS}\.{_DIGITS}|\.{_DIGITS})(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_NUMBER_BEGINS = list("-+0123456789.")
_NOT_PLAIN = ("timestamp", "int", "float", "value")
"""What YAML 1.1 takes for a date or a number, and for the default of a mapping."""


def read_yaml(text: str, what: str) -> Any:
    """Read YAML as plain values.

    Parameters
    ----------
    text
        The YAML.
    what
        What it is of, for messages: a file's name, or an option with its value.

    Raises
    ------
    InputError
        If it is not YAML, holds other than plain values, or more than can be meant.
    """
    import yaml

    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"{what} has {len(text)} characters; expected at most {MOST_CHARACTERS} of YAML"
        )
    try:
        return yaml.load(text, _loader())  # a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise InputError(f"{what} is not YAML{where}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{what} cannot be read as YAML: {reason}") from error


def read_yaml_file(path: str | Path) -> Any:
    """Read a file of YAML as plain values.

    Raises
    ------
    InputError
        If it cannot be read, or :func:`read_yaml` refuses it.
    """
    path = Path(path)
    try:
        input_file(path, "one of YAML")
        with path.open("rb") as file:
            content = file.read(4 * MOST_CHARACTERS + 1)
        return read_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 (byte {error.start}); expected YAML, save it as UTF-8"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def to_yaml(content: Any, in_one_line: bool = False) -> str:
    """Write plain values so that :func:`read_yaml` gives them back."""
    import yaml

    text: str = yaml.dump(
        content,
        Dumper=_dumper(),
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=in_one_line,
        width=math.inf if in_one_line else None,
    )
    return text


def number_of(text: str) -> int | float | None:
    """Return the number that a text spells, None where it spells none.

    Raises
    ------
    ValueError
        If it is larger than a number can be.
    """
    text = text.strip()
    if _WHOLE.fullmatch(text):
        return _whole(text)
    if not _REAL.fullmatch(text):
        return None
    plain = text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
    value = float(plain)
    if math.isinf(value) and "inf" not in plain:
        raise _too_large(text)
    return value


def _whole(text: str) -> int | float:
    plain = text.replace("_", "").lower()
    if len(plain) > MOST_DIGITS:
        raise _too_large(text)
    if plain[:2] in ("0x", "0o"):
        return int(plain, 0)
    mantissa, _, exponent = plain.partition("e")
    n_digits = len(mantissa.lstrip("+-0")) + int(exponent or 0)
    if exponent and n_digits > MOST_DIGITS_OF_WHOLE:
        return float(plain)
    value: int = int(mantissa) * 10 ** int(exponent or 0)
    return value


def _too_large(text: str) -> ValueError:
    return ValueError(f"{_short(text)} is larger than a number can be (1.8e308)")


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}..."


@cache
def _loader() -> type:
    """Make the class when it is first needed: importing PyYAML takes its time."""
    import yaml
    from yaml.constructor import ConstructorError
    from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

    class Loader(yaml.SafeLoader):
        """What :mod:`mlmd.yaml_text` says."""

        _depth = 0

        def compose_node(self, parent: Any, index: Any) -> Node | None:
            self._depth += 1
            if self._depth > MOST_LEVELS:
                raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
            node: Node | None = super().compose_node(parent, index)
            self._depth -= 1
            return node

        def get_single_node(self) -> Node | None:
            node: Node | None = super().get_single_node()
            if node is not None:
                _count(node, {})
            return node

        def construct_object(self, node: Node, deep: bool = False) -> Any:
            if node.tag not in _PLAIN_TAGS:
                tag = node.tag.replace("tag:yaml.org,2002:", "!!")
                raise ConstructorError(
                    None, None, f"the tag {tag} is not read; expected plain values", node.start_mark
                )
            written = _WRITTEN.get(node.tag)
            if written is not None and node.value.lower() not in written:
                raise ConstructorError(
                    None, None, f"{_short(node.value)!r} is not {node.tag[18:]}", node.start_mark
                )
            return super().construct_object(node, deep)

        def construct_plain_number(self, node: ScalarNode) -> Any:
            value = number_of(self.construct_scalar(node))
            if value is None:
                raise ConstructorError(
                    None, None, f"{_short(node.value)!r} is no number", node.start_mark
                )
            return value

        def construct_text(self, node: ScalarNode) -> str:
            text: str = self.construct_scalar(node)
            if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise ConstructorError(
                    None, None, f"{_short(text)!a} has characters of no text", node.start_mark
                )
            return text

        def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
            if not isinstance(node, MappingNode):
                raise ConstructorError(None, None, "this is no mapping", node.start_mark)
            own = Counter(key.value for key, _ in node.value if isinstance(key, ScalarNode))
            self.flatten_mapping(node)
            content: dict[str, Any] = {}
            for key, value in node.value:
                if not isinstance(key, ScalarNode):
                    raise ConstructorError(None, None, "a key is no text", key.start_mark)
                name = self.construct_text(key)  # as written: 1 and No are names as well
                if own[name] > 1:
                    raise ConstructorError(
                        None, None, f"the key {_short(name)!r} is there twice", key.start_mark
                    )
                content[name] = self.construct_object(value, deep=deep)
            return content

    def _count(node: Node, known: dict[int, int | None]) -> int:
        """Count values as often as aliases repeat them."""
        if id(node) in known:
            n = known[id(node)]
            if n is None:
                raise ConstructorError(None, None, "an alias is inside itself", node.start_mark)
            return n
        known[id(node)] = None
        inner: list[Any] = []
        if isinstance(node, MappingNode):
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            inner = node.value
        n = 1 + sum(_count(part, known) for part in inner)
        if n > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES} values")
        known[id(node)] = n
        return n

    Loader.yaml_implicit_resolvers = _resolvers(yaml.SafeLoader)
    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.construct_plain_number)
    Loader.add_constructor("tag:yaml.org,2002:str", Loader.construct_text)
    return Loader


_WRITTEN = {
    "tag:yaml.org,2002:bool": ("true", "false", "yes", "no", "on", "off"),
    "tag:yaml.org,2002:null": ("null", "~", ""),
}
"""A tag may be written before any text."""
_PLAIN_TAGS = tuple(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map")
)


@cache
def _dumper() -> type:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes whatever the loader would take for other than a text."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Dumper.yaml_implicit_resolvers = _resolvers(yaml.SafeDumper)
    return Dumper


def _resolvers(base: Any) -> dict[Any, list[Any]]:
    """Return what tells a number, truth and null from a text, numbers as written today."""
    prefix = "tag:yaml.org,2002:"
    left_out = {prefix + kind for kind in _NOT_PLAIN}
    kept = {
        first: [one for one in rules if one[0] not in left_out]
        for first, rules in base.yaml_implicit_resolvers.items()
    }
    for first in _NUMBER_BEGINS:
        # fullmatch is not asked for: the patterns have to end where the text does
        whole, real = (re.compile(rf"(?:{one.pattern})\Z") for one in (_WHOLE, _REAL))
        kept[first] = [(f"{prefix}int", whole), (f"{prefix}float", real), *kept.get(first, [])]
    return kept
