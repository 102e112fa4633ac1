"""The filters of figures about traces: one comparison each, such as ``trace.tag.env = 'prod'``.

They are another language than the filters of a search: a column begins with what it belongs to, the one comparator is
``=``, and all values are texts.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue


class MetricFilter(NamedTuple):
    """A comparison with a text; ``key`` is that of a tag or of metadata, empty otherwise."""

    view: str
    entity: str
    key: str
    value: str


# What each view can be filtered by, and whether a key belongs to it.
_ENTITIES = {
    "trace": {"status": False, "tag": True, "metadata": True},
    "span": {"name": False, "status": False, "type": False},
    "assessment": {"name": False, "type": False},
}
_VIEW_TYPES = {"span": "SPANS", "assessment": "ASSESSMENTS"}

_QUOTED = r"""'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*\""""
_CLAUSE = re.compile(
    rf"\s*(?P<view>\w+|`\w+`)(?:\.(?P<entity>\w+)(?:\.(?P<key>[\w.]+|`[^`]*`|{_QUOTED}))?)?"
    rf"(?:\s*(?P<symbol>[<>=!~]+)|\s+(?P<word>[A-Za-z]+(?:\s+NULL)?))\s*(?P<value>{_QUOTED}|[^\s'\"]+)?\s*(?P<rest>.*)",
    re.DOTALL | re.IGNORECASE,
)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def parse_metric_filter(text: str, view_type: str) -> MetricFilter:
    """The comparison that a filter of figures about ``view_type`` is."""
    if len(text) > limits.MAX_METRIC_FILTER_LENGTH:
        raise InvalidParameterValue(f"A filter can have at most {limits.MAX_METRIC_FILTER_LENGTH} characters")
    if _UNSTORABLE.search(text):
        raise InvalidParameterValue("A filter contains a NUL character or a lone surrogate.")
    if not text.strip():
        raise InvalidParameterValue(f"Invalid filter: '{text[:100]}'. Expected one filter clause.")
    clause = _CLAUSE.fullmatch(text)
    if clause is None:
        raise InvalidParameterValue(f"Invalid clause(s) in filter string: {text[:100]}")
    if clause["rest"]:
        raise InvalidParameterValue(f"Invalid clause(s) in filter string: {clause['rest'].split()[0][:100]}")
    if clause["value"] is None:
        raise InvalidParameterValue(f"Invalid clause(s) in filter string: {', '.join(text.split())[:100]}")
    view, entity, key = _column(clause)
    comparator = clause["symbol"] or clause["word"]
    if comparator != "=":
        raise InvalidParameterValue(f"Invalid comparator: '{comparator[:100]}', only '=' operator is supported")
    value = _value(entity, clause["value"] or "")
    wanted = _VIEW_TYPES.get(view, view_type)
    if view_type != wanted:
        raise InvalidParameterValue(f"Filtering by {view} is only supported for {wanted} view type, got {view_type}")
    return MetricFilter(view, entity, key, value)


def _column(clause: re.Match[str]) -> tuple[str, str, str]:
    view, entity, key = clause["view"].strip("`"), clause["entity"], clause["key"]
    if entity is None:
        raise InvalidParameterValue(
            f"Invalid identifier {view[:100]!r}. Columns should be specified as 'trace.<key>', 'span.<key>', "
            "'assessment.<key>'."
        )
    if view not in _ENTITIES:
        raise InvalidParameterValue(f"Invalid view type '{view[:100]}'. Valid values are {list(_ENTITIES)}")
    entities = _ENTITIES[view]
    if entity not in entities:
        raise InvalidParameterValue(
            f"Invalid entity '{entity[:100]}' specified for view type '{view}'. Valid entities are {list(entities)}"
        )
    if entities[entity] and not key:
        raise InvalidParameterValue(f"Filtering by {entity} requires a key, e.g. '{view}.{entity}.<key> = <value>'")
    if key and not entities[entity]:
        raise InvalidParameterValue(f"Filtering by {entity} does not require a key, use '{view}.{entity}' instead")
    return view, entity, _unquoted(key or "")


def _value(entity: str, text: str) -> str:
    if text[:1] in ("'", '"'):
        return _unquoted(text)
    if text[:1].isalpha() or text[:1] in ("_", "`"):
        raise InvalidParameterValue(
            "Parameter value is either not quoted or unidentified quote types used for string value "
            f"{text[:100]}. Use either single or double quotes."
        )
    raise InvalidParameterValue(
        f"Expected a quoted string value for {entity} value (e.g. 'my-value'). Got value {text[:100]}"
    )


def _unquoted(text: str) -> str:
    quote = text[:1]
    return text[1:-1].replace(quote * 2, quote) if quote in ("'", '"', "`") and quote else text
