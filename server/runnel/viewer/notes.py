"""Notes that people write in Markdown, as HTML."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

MAX_NOTE_LENGTH = 20_000  # the longest tag that a client can set


@lru_cache(maxsize=1)
def _parser() -> Any:
    from markdown_it import MarkdownIt  # imported by the first page with a note

    # HTML in a note is text, and an image is a link: it would be fetched from anywhere. Links to anything but
    # http, https, mailto and the like are refused by the parser itself.
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", _heading)
    return parser


def _link_open(renderer: Any, tokens: Any, index: int, options: Any, _: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    return str(renderer.renderToken(tokens, index, options, _))


def _image(renderer: Any, tokens: Any, index: int, options: Any, _: Any) -> str:
    target, text = escape(str(tokens[index].attrGet("src"))), escape(tokens[index].content)
    return f'<a href="{target}" rel="noopener noreferrer nofollow">image: {text}</a>'


def _heading(renderer: Any, tokens: Any, index: int, options: Any, _: Any) -> str:
    # The page has the headings of the first two levels.
    tokens[index].tag = f"h{min(6, int(tokens[index].tag[1]) + 2)}"
    return str(renderer.renderToken(tokens, index, options, _))


def rendered(note: str) -> str:
    """The HTML of a note; nothing in it can be more than text, headings, lists, tables, code and links."""
    return str(_parser().render(note[:MAX_NOTE_LENGTH]))


def first_line(note: str) -> str:
    """The first line of a note without the marks of Markdown at its start, for a list."""
    line = next((line.strip() for line in note[:2_000].splitlines() if line.strip()), "")
    return line.lstrip("#>*- ").strip()[:200]
