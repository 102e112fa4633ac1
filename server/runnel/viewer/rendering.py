"""From what a page returns to what is sent: HTML by a template, JSON, or CSV."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from runnel import __version__
from runnel.viewer import formats, notes
from runnel.viewer.assets import asset_path
from runnel.viewer.links import query_string
from runnel.viewer.pages import Page, PageRequest

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates; Jinja is imported by the first page, since a server of nothing but the API needs none of it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for name in ("number", "exact", "count", "duration", "day", "timestamp", "iso_time", "size"):
        made.filters[name] = getattr(formats, name)
    made.filters["markdown"] = lambda note: Markup(notes.rendered(note))
    made.filters["first_line"] = notes.first_line
    made.globals.update(asset=asset_path, version=__version__)
    return made


def to_html(page: Page, request: PageRequest, origin: str) -> str:
    """The page as a document. ``origin`` is the address of the server as the client named it, to be pasted."""
    depth = request.path.count("/") - 1
    now = time.time()
    last_segment = request.path.rpartition("/")[2] or "experiments"
    context: dict[str, Any] = {
        "page": page,
        "tables": page.tables,
        "data": page.data,
        "root": "../" * depth or "./",
        "query": request.query,
        "changed": lambda **changes: query_string(request.query, **changes),
        "search_text": request.get("q") if request.path == "/search" else "",
        "twin": last_segment,
        "same_query": query_string(request.query) if request.query else "",
        "age": lambda milliseconds: formats.age(milliseconds, now),
        "origin": origin,
        **page.view,
    }
    return environment().get_template(page.template).render(context)


def to_json(page: Page) -> bytes:
    """The page as data: what it says, and its tables as lists of objects."""
    body: dict[str, Any] = {"title": page.title, **page.data}
    if page.error:
        body["error"] = page.error
    body |= {name: table.to_json() for name, table in page.tables.items()}
    following = {name: table.next_query for name, table in page.tables.items() if table.next_query}
    if following:
        body["next"] = following
    return orjson.dumps(_finite(body), option=orjson.OPT_INDENT_2)


def _finite(value: Any) -> Any:
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, Mapping) else value
