"""What each search can be filtered and ordered by, as data for the parser in ``runnel.domain.filters``.

The keys and comparators are those of MLflow 3.17 (``SearchUtils``, ``SearchExperimentsUtils``,
``search_logged_model_utils``), except that runs can also be found by the models they used or made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class ValueType(Enum):
    """What has to stand right of a comparator, and what it becomes in ``Comparison.value``."""

    NOTHING = auto()  # None
    STRING = auto()  # str
    STRING_OR_NUMBER = auto()  # str; a number without quotes stands for its text
    STRINGS = auto()  # tuple[str, ...], never empty
    EXPERIMENT_ID = auto()  # a string that holds an integer of 64 bits; str without leading zeros
    EXPERIMENT_IDS = auto()  # tuple[str, ...], never empty
    FLOAT = auto()  # any number; float
    INTEGER = auto()  # an integer of 64 bits; int
    INTEGER_OR_FLOAT = auto()  # int when it is written as an integer (of 64 bits), else float
    QUOTED_OR_NUMBER = auto()  # the same, and a number may stand in quotes


@dataclass(frozen=True, slots=True)
class Field:
    """What a search may say about a key: its comparators with the value each takes, and whether it may order by it."""

    comparators: Mapping[str, ValueType]
    orderable: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """What a column can belong to: its name, other spellings of it, and its keys.

    A key ``"*"`` in ``fields`` stands for every key, ``"attributes.*"`` for every key that begins with ``attributes.``.
    Where MLflow words an error about this entity in its own way, the first words of it stand here, ``{key}`` for the
    key.
    """

    name: str
    fields: Mapping[str, Field]
    aliases: frozenset[str] = frozenset()
    key_aliases: Mapping[str, str] = field(default_factory=dict)
    key_refusal: str = ""
    comparator_refusal: str = ""

    def field_of(self, key: str) -> Field | None:
        """The field of a key, None when the entity has no such key."""
        exact = self.fields.get(key)
        if exact is not None:
            return exact
        below = (p for p in self.fields if p.endswith("*") and key.startswith(p[:-1]) and len(key) >= len(p))
        longest = max(below, key=len, default=None)
        return None if longest is None else self.fields[longest]


@dataclass(frozen=True, slots=True)
class FilterGrammar:
    """The columns of one search. A column without an entity belongs to the entity ``attribute``."""

    entities: tuple[Entity, ...]

    def entity_of(self, spelling: str) -> Entity | None:
        """The entity of that name or alias."""
        return next((e for e in self.entities if spelling == e.name or spelling in e.aliases), None)


_EQUALITY = ("=", "!=")
_PATTERNS = ("LIKE", "ILIKE")
_ORDER = ("<", "<=", ">", ">=")
_LISTS = ("IN", "NOT IN")

_TEXT = dict.fromkeys(_EQUALITY + _PATTERNS, ValueType.STRING)
_TEXT_OR_LIST = _TEXT | dict.fromkeys(_LISTS, ValueType.STRINGS)
_TEXT_OR_ABSENCE = _TEXT | dict.fromkeys(("IS NULL", "IS NOT NULL"), ValueType.NOTHING)

# Clients compute times (`time.time() * 1000`), so most may be compared with a fraction; an experiment's may not.
_TIME_OR_FRACTION = Field(dict.fromkeys(_EQUALITY + _ORDER, ValueType.INTEGER_OR_FLOAT), orderable=True)
_EXPERIMENT_TIME = Field(dict.fromkeys(_EQUALITY + _ORDER, ValueType.INTEGER), orderable=True)

RUNS = FilterGrammar(
    entities=(
        Entity(
            "metric",
            {"*": Field(dict.fromkeys(_EQUALITY + _ORDER, ValueType.FLOAT), orderable=True)},
            aliases=frozenset({"metrics"}),
        ),
        Entity(
            "parameter",
            {"*": Field(_TEXT_OR_ABSENCE, orderable=True)},
            aliases=frozenset({"parameters", "param", "params"}),
        ),
        Entity("tag", {"*": Field(_TEXT_OR_ABSENCE, orderable=True)}, aliases=frozenset({"tags"})),
        Entity(
            "attribute",
            {
                "run_id": Field(_TEXT_OR_LIST, orderable=True),
                "run_name": Field(_TEXT, orderable=True),
                "user_id": Field(_TEXT, orderable=True),
                "status": Field(_TEXT, orderable=True),
                "artifact_uri": Field(_TEXT, orderable=True),
                "start_time": _TIME_OR_FRACTION,
                "end_time": _TIME_OR_FRACTION,
            },
            aliases=frozenset({"attributes", "attr", "run"}),
            key_aliases={
                "created": "start_time",
                "Created": "start_time",
                "run name": "run_name",
                "Run name": "run_name",
                "Run Name": "run_name",
            },
        ),
        Entity(
            "dataset",
            {"name": Field(_TEXT_OR_LIST), "digest": Field(_TEXT_OR_LIST), "context": Field(_TEXT_OR_LIST)},
            aliases=frozenset({"datasets"}),
        ),
        Entity(
            "model",
            {"model_id": Field(_TEXT_OR_LIST), "name": Field(_TEXT_OR_LIST)},
            aliases=frozenset({"models"}),
        ),
    )
)

EXPERIMENTS = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {
                "experiment_id": Field(
                    dict.fromkeys(_EQUALITY, ValueType.EXPERIMENT_ID) | dict.fromkeys(_LISTS, ValueType.EXPERIMENT_IDS),
                    orderable=True,
                ),
                "name": Field(_TEXT, orderable=True),
                "creation_time": _EXPERIMENT_TIME,
                "last_update_time": _EXPERIMENT_TIME,
            },
        ),
        Entity("tag", {"*": Field(_TEXT_OR_ABSENCE)}, aliases=frozenset({"tags"})),
    )
)

# Params and tags may be compared with a number without quotes, as in the example of MLflow's own error message.
_PLAIN_TEXT_OR_LIST = Field(_TEXT_OR_LIST | dict.fromkeys(_EQUALITY, ValueType.STRING_OR_NUMBER))

LOGGED_MODELS = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {
                "model_id": Field(_TEXT_OR_LIST, orderable=True),
                "name": Field(_TEXT_OR_LIST, orderable=True),
                "model_type": Field(_TEXT_OR_LIST, orderable=True),
                "source_run_id": Field(_TEXT_OR_LIST, orderable=True),
                "status": Field(_TEXT_OR_LIST | dict.fromkeys(_EQUALITY, ValueType.STRING_OR_NUMBER), orderable=True),
                "creation_timestamp": _TIME_OR_FRACTION,
                "last_updated_timestamp": _TIME_OR_FRACTION,
            },
            aliases=frozenset({"attributes"}),
            key_aliases={
                "creation_time": "creation_timestamp",
                "creation_timestamp_ms": "creation_timestamp",
                "last_updated_time": "last_updated_timestamp",
                "last_updated_timestamp_ms": "last_updated_timestamp",
            },
        ),
        Entity(
            "metric",
            {"*": Field(dict.fromkeys(_EQUALITY + _ORDER, ValueType.FLOAT), orderable=True)},
            aliases=frozenset({"metrics"}),
        ),
        Entity("parameter", {"*": _PLAIN_TEXT_OR_LIST}, aliases=frozenset({"parameters", "param", "params"})),
        Entity("tag", {"*": _PLAIN_TEXT_OR_LIST}, aliases=frozenset({"tags"})),
    )
)
