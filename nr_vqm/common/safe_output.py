"""Output of text that comes from data: single lines for a terminal, and HTML pages from Jinja templates."""

import codecs
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import jinja2


def printable(text: str) -> str:
    """Replace what UTF-8 cannot encode and what does not fit on one line, such as escape sequences.

    File names and label files may contain any bytes; printed as they are, they could control the terminal.
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def make_printable(stream: IO[str]) -> None:
    """Let a stream print any path: bytes that are not UTF-8 as they are, what its encoding lacks as escapes."""
    if isinstance(stream, io.TextIOWrapper):
        is_utf8 = codecs.lookup(stream.encoding).name == "utf-8"
        stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def render_html(
    template: str | os.PathLike[str],
    values: Mapping[str, Any],
    *,
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Render a Jinja template as an HTML page. All values are escaped.

    Args:
        template: path of the template.
        values: the variables of the template, by name.
        filters: additional filters of the template, by name.

    Raises:
        jinja2.UndefinedError: the template uses a variable that `values` lacks.
    """
    template = Path(template)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters or {})
    return environment.get_template(template.name).render(**values)
