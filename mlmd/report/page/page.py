"""From a template to one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from importlib import resources
from pathlib import Path
from typing import Any

from mlmd._version import __version__
from mlmd.digits import number, value_of
from mlmd.errors import MissingExtraError
from mlmd.files import write_output
from mlmd.plain import to_plain, without_nan

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing is loaded from anywhere, and no script runs but our own."""


def render(template: str, own: str | None = None, **content: Any) -> str:
    """Fill in a template of this package.

    Whatever comes from outside is escaped. The page forbids the browser to load anything and to
    run any script but the one whose checksum it names: what would slip through is still text.

    Parameters
    ----------
    template
        Its name.
    own
        Name of a style sheet and a script that only this page has.
    **content
        What is put into it.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    """
    require_jinja()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("mlmd.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The page keeps all of a result for programs, which know neither NaN nor infinities.
    content["content"] = without_nan(to_plain(content["content"]))
    environment.filters["number"] = number
    environment.filters["value_of"] = value_of
    script, style = _text("page.js"), _text("style.css")
    if own is not None:
        script, style = script + _text(f"{own}.js"), style + _text(f"{own}.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        policy=POLICY.format(digest=digest),
        version=__version__,
        **content,
    )


def require_jinja() -> None:
    """Raise MissingExtraError where Jinja2 is not installed."""
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError("Jinja2", "report")


def write_page(html: str, path: Path, force: bool = False) -> Path:
    """Write a page where an earlier one may be.

    Raises
    ------
    InputError
        If it cannot be written there, or something else than an earlier page is there and `force`
        is not given.
    """
    with write_output(path, "page", force) as place:
        place.write_text(html, encoding="utf-8")
    return path


def _text(name: str) -> str:
    return (resources.files("mlmd.report.page") / "templates" / name).read_text(encoding="utf-8")
