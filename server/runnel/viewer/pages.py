"""What a page is: a function from a request to what is shown, which template, JSON and CSV are made of."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from runnel.api.services import Services
from runnel.domain.errors import InvalidParameterValue
from runnel.store.statements import Transaction
from runnel.viewer.tables import Table

T = TypeVar("T")

MAX_QUERY_FIELDS = 2_000


class Crumb(NamedTuple):
    """A step of the way from the list of experiments to a page."""

    label: str
    path: str  # of the site, without a leading slash


@dataclass(frozen=True)
class Page:
    """What a page shows. ``data`` and ``tables`` are the page's JSON; ``view`` is for the template alone."""

    title: str
    template: str
    data: Mapping[str, Any]
    tables: Mapping[str, Table] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    crumbs: Sequence[Crumb] = ()
    # What is wrong with what was asked for; it stands in the page, beside what it is about.
    error: str = ""
    status: int = 200
    # Where to go instead: a path of the site, without a leading slash.
    redirect: str = ""


class PageRequest:
    """What a page is asked: the values in its path and in the query string. All that it can do is read."""

    def __init__(
        self, services: Services, path: str, values: Mapping[str, str], query_string: str, is_file: bool = False
    ) -> None:
        self.path = path
        self.values = values
        self.is_file = is_file  # asked for as JSON or CSV
        self._services = services
        try:
            pairs = urllib.parse.parse_qsl(query_string, keep_blank_values=False, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:
            raise InvalidParameterValue(f"The query string has more than {MAX_QUERY_FIELDS} fields") from None
        if any("\0" in text for pair in (*pairs, *values.items()) for text in pair):
            raise InvalidParameterValue("An address cannot hold the character NUL")
        self.query = [(_readable(name), _readable(value)) for name, value in pairs]

    @property
    def services(self) -> Services:
        """The parts of the server, for pages that show artifacts."""
        return self._services

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field of the query string, without blanks around it."""
        return next((value.strip() for key, value in self.query if key == name), default)

    def all(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.query if key == name]

    async def read(self, query: Callable[[Transaction], T], *, may_scan: bool = False) -> T:
        """Runs a query in a read transaction (see ``Database.read``)."""
        return await self._services.database.read(query, may_scan=may_scan)


def _readable(text: str) -> str:
    # What is no UTF-8 comes as lone surrogates, which no database takes.
    return text.encode("utf-8", "replace").decode()


PageFunction = Callable[[PageRequest], Awaitable[Page]]


@dataclass(frozen=True)
class PageRoute:
    """One line of the table of pages."""

    path: str
    function: PageFunction
    pattern: re.Pattern[str]


def page(path: str, function: PageFunction) -> PageRoute:
    """A page at a path, whose ``{names}`` are values that the function is given."""
    expression = "".join(
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", path)
    )
    return PageRoute(path, function, re.compile(expression))
