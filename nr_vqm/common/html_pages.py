"""Self-contained HTML pages out of templates."""

from pathlib import Path

import jinja2


def render(template, values, *, filters=None):
    """A page as HTML. Whatever comes from data is escaped.

    Args:
        template: path of a Jinja template; a name that it uses and `values` lacks is an error.
        values: dict of what it shows.
        filters: dict of functions that it calls.
    """
    template = Path(template)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(template.name).render(**values)
