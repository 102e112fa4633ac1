"""MLflow's search language: filter strings and ``order_by`` terms become small syntax trees.

The language, in EBNF (keywords in any case, blanks between any two terminals)::

    filter     = { "AND" | comparison } ;
    comparison = column , comparator , [ value ] ;
    ordering   = column , [ "ASC" | "DESC" ] ;

    column     = [ entity , "." ] , key | quoted ;        (* without blanks inside; see below *)
    entity     = word | "`" , word , "`" ;
    key        = path | quoted | path ending in "." , quoted ;
    path       = ( letter | digit | "_" | "." ) , { letter | digit | "_" | "." } ;

    comparator = "=" | "!=" | "<" | "<=" | ">" | ">="
               | [ "NOT" ] , ( "IN" | "LIKE" | "ILIKE" | "RLIKE" ) | "IS" , [ "NOT" ] , "NULL" ;
    value      = string | number | list ;                 (* none after IS NULL and IS NOT NULL *)
    list       = "(" , string , { "," , string } , [ "," ] , ")" ;
    number     = [ "-" ] , ( digits , [ "." , [ digits ] ] | "." , digits ) , [ exponent ] ;
    string     = "'...'" | '"..."' ;
    quoted     = string | "`...`" ;

- Inside quotes the same quote, doubled, stands for itself: ``'it''s'``. A backslash is an ordinary character.
- A column without an entity is an attribute: ``status`` is ``attribute.status``. It may be quoted, not in single
  quotes; a quoted column that holds a dot is split there: "`metrics.acc`" is ``metrics.acc``.
- Every comparison must hold. Like MLflow, the parser does not mind where the ANDs stand or whether they are
  there: programs glue filters together and leave one at an end.

Which entities, keys and comparators a search has, and which value each comparator takes, is data: a
``FilterGrammar`` (see ``filter_grammars``). Whatever is not a filter of the grammar is refused with
``InvalidParameterValue``, in MLflow's wording where MLflow has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import Entity, Field, FilterGrammar, ValueType

# Room for a list of 1,000 run ids (40,000 characters). An element of a list takes 4 characters at least, so a
# filter never has more values than SQLite can bind to a statement (32,766).
MAX_FILTER_LENGTH = 50_000
MAX_COMPARISONS = 100
MAX_LIST_ELEMENTS = 1_000
MAX_ORDERINGS = 20
MAX_ORDERING_LENGTH = 1_000
# An error message quotes no more than this of what it complains about.
_MAX_EXCERPT = 100

# No stored value holds these, and databases refuse them with errors of their own.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition. Entity and key are canonical (aliases resolved), the operator is in upper case."""

    entity: str
    key: str
    operator: str
    value: str | int | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Ordering:
    """One sort key. Entity and key are canonical (aliases resolved)."""

    entity: str
    key: str
    ascending: bool


def parse_filter(text: str | None, grammar: FilterGrammar) -> tuple[Comparison, ...]:
    """The comparisons of a filter string, all of which must hold; none for None and a blank string."""
    if text is None:
        return ()
    _check_text("filter", text, MAX_FILTER_LENGTH)
    return _Parser(text, grammar).filter()


def parse_order_by(terms: Sequence[str], grammar: FilterGrammar) -> tuple[Ordering, ...]:
    """The sort keys of a search, the most significant first; no key may come twice."""
    if len(terms) > MAX_ORDERINGS:
        raise InvalidParameterValue(f"order_by has {len(terms)} fields, more than the {MAX_ORDERINGS} allowed.")
    orderings = []
    for term in terms:
        _check_text("order_by clause", term, MAX_ORDERING_LENGTH)
        orderings.append(_Parser(term, grammar).ordering())
    if len({(ordering.entity, ordering.key) for ordering in orderings}) < len(orderings):
        raise InvalidParameterValue(f"`order_by` contains duplicate fields: {list(terms)}")
    return tuple(orderings)


def _check_text(name: str, text: str, max_length: int) -> None:
    if len(text) > max_length:
        raise InvalidParameterValue(f"The {name} has {len(text)} characters, more than the {max_length} allowed.")
    if _UNSTORABLE.search(text):
        raise InvalidParameterValue(f"The {name} contains a NUL character or a lone surrogate.")


# The terminals. Each pattern has one way to match a given text, so reading is linear in the length of the text.
_STRING_PATTERN = r"""'[^']*(?:''[^']*)*'|"[^"]*(?:""[^"]*)*\""""
_QUOTED_PATTERN = rf"{_STRING_PATTERN}|`[^`]*(?:``[^`]*)*`"


def _terminal(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\s*(?P<text>{pattern})", re.IGNORECASE)


_COLUMN = _terminal(rf"(?:(?P<entity>\w+|`\w+`)\.)?(?P<path>[\w.]*)(?P<quoted>{_QUOTED_PATTERN})?")
_COMPARATOR = _terminal(
    r"[<>=!~]+|(?:NOT\s+)?(?:IN|LIKE|ILIKE|RLIKE)(?![\w.])|IS\s+NULL(?![\w.])|IS\s+NOT\s+NULL(?![\w.])"
)
_STRING = _terminal(_STRING_PATTERN)
_NUMBER = _terminal(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:E[-+]?[0-9]+)?(?![\w.])")
_QUOTED_NUMBER = _terminal(r"'-?[0-9]+(?:\.[0-9]+)?'|\"-?[0-9]+(?:\.[0-9]+)?\"")
_AND = _terminal(r"AND(?![\w.])")
_OR = _terminal(r"OR(?![\w.])")
_DIRECTION = _terminal(r"\w+")
_OPEN, _COMMA, _CLOSE = _terminal(r"\("), _terminal(","), _terminal(r",?\s*\)")
# What an error message quotes when none of the terminals above stands there.
_ANYTHING = _terminal(rf"{_QUOTED_PATTERN}|[^\s'\"`]+|\S")

_LIST_EXPECTED = "While parsing a list in the query, expected a non-empty list of string values, but got"
_INTEGER_LITERAL = re.compile(r"-?[0-9]+")


class _Parser:
    """Reads one text from left to right: a method per rule of the EBNF, a pattern per terminal."""

    def __init__(self, text: str, grammar: FilterGrammar) -> None:
        self._text = text.rstrip()
        self._grammar = grammar
        self._position = 0
        self._clause = 0  # where the comparison being read begins

    def filter(self) -> tuple[Comparison, ...]:
        comparisons: list[Comparison] = []
        while not self._at_end():
            self._clause = self._position
            if self._take(_AND) is not None:
                continue
            if self._take(_OR) is not None:
                self._refuse_clause("comparisons can only be joined by AND")
            if len(comparisons) == MAX_COMPARISONS:
                raise InvalidParameterValue(f"The filter has more than the {MAX_COMPARISONS} comparisons allowed.")
            comparisons.append(self._comparison())
        return tuple(comparisons)

    def ordering(self) -> Ordering:
        column = self._column()
        direction = self._take(_DIRECTION)
        if column is None or not self._at_end():
            raise InvalidParameterValue(f"Invalid order_by clause '{_excerpt(self._text)}'. Could not be parsed.")
        if direction is not None and direction.upper() not in ("ASC", "DESC"):
            raise InvalidParameterValue(f"Invalid ordering key in order_by clause '{_excerpt(self._text)}'.")
        entity, key, field = self._resolve(*column)
        if not any(each.orderable for each in entity.fields.values()):
            raise InvalidParameterValue(f"Invalid order_by entity: {entity.name}")
        if field is None or not field.orderable:
            _refuse_key(entity, key, [name for name, each in entity.fields.items() if each.orderable])
        return Ordering(entity.name, key, direction is None or direction.upper() == "ASC")

    def _comparison(self) -> Comparison:
        column = self._column()
        if column is None:
            self._take(_ANYTHING)
            self._refuse_clause("expected a column, such as metrics.acc or tags.`my tag`")
        operator = self._take(_COMPARATOR)
        if operator is None:
            self._take(_ANYTHING)
            self._refuse_clause("expected a comparator, such as = or LIKE")
        operator = " ".join(operator.upper().split())
        entity, key, field = self._resolve(*column)
        if field is None or not field.comparators:
            _refuse_key(entity, key, [name for name, each in entity.fields.items() if each.comparators])
        if operator not in field.comparators:
            self._refuse_comparator(operator, entity, key, field)
        value_type = field.comparators[operator]
        if value_type is not ValueType.NOTHING and self._at_end():
            self._refuse_clause("expected a value")
        return Comparison(entity.name, key, operator, self._value(value_type, entity.name, key))

    def _column(self) -> tuple[str, str] | None:
        """The entity and the key as they are written, without quotes; None if no column stands here."""
        match = _COLUMN.match(self._text, self._position)
        if match is None or not match["text"]:
            return None
        entity, path, quoted = match["entity"], match["path"], match["quoted"]
        if entity is None and not path and quoted.startswith("'"):
            return None  # a string, not a column
        if quoted is not None and path and not path.endswith("."):
            return None
        key = path if quoted is None else path + _unquoted(quoted)
        if entity is None and not path and "." in key:
            entity, key = key.split(".", 1)
        if not key:
            return None
        self._position = match.end()
        return ("attribute" if entity is None else entity.strip("`")), key

    def _resolve(self, entity_spelling: str, key_spelling: str) -> tuple[Entity, str, Field | None]:
        entity = self._grammar.entity_of(entity_spelling)
        if entity is None:
            names = [each.name for each in self._grammar.entities]
            raise InvalidParameterValue(f"Invalid entity type '{_excerpt(entity_spelling)}'. Valid values are {names}")
        key = entity.key_aliases.get(key_spelling, key_spelling)
        return entity, key, entity.field_of(key)

    def _value(self, value_type: ValueType, entity: str, key: str) -> str | int | float | tuple[str, ...] | None:
        match value_type:
            case ValueType.NOTHING:
                return None
            case ValueType.STRING:
                return self._string(entity)
            case ValueType.STRING_OR_NUMBER:
                number = self._take(_NUMBER)
                return self._string(entity) if number is None else number
            case ValueType.STRINGS:
                return self._list()
            case ValueType.EXPERIMENT_ID:
                return _experiment_id(self._string(entity))
            case ValueType.EXPERIMENT_IDS:
                return tuple(_experiment_id(element) for element in self._list())
            case ValueType.FLOAT:
                return float(self._number(entity, key))
            case ValueType.INTEGER:
                return self._integer(entity, key, self._number(entity, key))
            case ValueType.INTEGER_OR_FLOAT | ValueType.QUOTED_OR_NUMBER:
                literal = self._number(entity, key, may_be_quoted=value_type is ValueType.QUOTED_OR_NUMBER)
                is_integer = _INTEGER_LITERAL.fullmatch(literal) is not None
                return self._integer(entity, key, literal) if is_integer else float(literal)

    def _string(self, entity: str) -> str:
        string = self._take(_STRING)
        if string is not None:
            return _unquoted(string)
        found = self._found()
        if found[0] == "`" or found[0] == "_" or found[0].isalpha():
            raise InvalidParameterValue(
                "Parameter value is either not quoted or unidentified quote types used for string value "
                f"{found}. Use either single or double quotes."
            )
        if found[0] in "'\"":
            self._refuse_clause("a quote is not closed")
        subject = "attributes" if entity == "attribute" else f"{entity} (e.g. 'my-value')"
        raise InvalidParameterValue(f"Expected a quoted string value for {subject}. Got value {found}")

    def _number(self, entity: str, key: str, *, may_be_quoted: bool = False) -> str:
        number = self._take(_NUMBER)
        if number is None and may_be_quoted:
            number = self._take(_QUOTED_NUMBER)
            number = number and number[1:-1]
        if number is None:
            # MLflow names the key of an attribute, not that of a metric.
            subject = f"numeric attribute: {key}" if entity == "attribute" else entity
            raise InvalidParameterValue(f"Expected numeric value type for {subject}. Found {self._found()}")
        return number

    def _integer(self, entity: str, key: str, literal: str) -> int:
        number = _int64(literal)
        if number is None:
            raise InvalidParameterValue(
                f"Invalid value for numeric {entity} '{key}': '{_excerpt(literal)}'. It must be an integer of 64 bits."
            )
        return number

    def _list(self) -> tuple[str, ...]:
        if self._take(_OPEN) is None:
            self._refuse_list()
        if self._take(_CLOSE) is not None:
            raise InvalidParameterValue(f"{_LIST_EXPECTED} empty list.")
        elements: list[str] = []
        while len(elements) < MAX_LIST_ELEMENTS:
            element = self._take(_STRING)
            if element is None:
                self._refuse_list()
            elements.append(_unquoted(element))
            if self._take(_CLOSE) is not None:
                return tuple(elements)
            if self._take(_COMMA) is None:
                self._refuse_list()
        raise InvalidParameterValue(f"A list has more than the {MAX_LIST_ELEMENTS} elements allowed.")

    def _at_end(self) -> bool:
        return self._position == len(self._text)

    def _take(self, terminal: re.Pattern[str]) -> str | None:
        """Takes the terminal if it comes next, blanks before it skipped."""
        match = terminal.match(self._text, self._position)
        if match is None:
            return None
        self._position = match.end()
        return match["text"]

    def _found(self) -> str:
        """What stands here instead of what was expected, for an error message."""
        return _excerpt(self._take(_ANYTHING) or "the end of the filter")

    def _refuse_clause(self, reason: str) -> NoReturn:
        clause = _excerpt(self._text[self._clause : self._position].strip())
        raise InvalidParameterValue(f"Invalid clause(s) in filter string: '{clause}' ({reason})")

    def _refuse_list(self) -> NoReturn:
        raise InvalidParameterValue(f"{_LIST_EXPECTED} ill-formed list at '{self._found()}'.")

    def _refuse_comparator(self, operator: str, entity: Entity, key: str, field: Field) -> NoReturn:
        supporting = [
            f"{each.name}s"
            for each in self._grammar.entities
            if any(operator in one.comparators for one in each.fields.values())
        ]
        is_worded = entity.comparator_refusal or f"{entity.name}s" in supporting
        if operator in ("IS NULL", "IS NOT NULL") and supporting and not is_worded:
            raise InvalidParameterValue(
                f"IS NULL / IS NOT NULL is only supported for {' and '.join(supporting)}, "
                f"not for '{entity.name}' '{_excerpt(key)}'"
            )
        with_lists = sorted(name for name, each in entity.fields.items() if "IN" in each.comparators)
        if operator in ("IN", "NOT IN") and "IN" not in field.comparators and with_lists:
            raise InvalidParameterValue(
                f"Only {with_lists} attributes support comparison with a list of quoted string values."
            )
        refusal = (entity.comparator_refusal or "Invalid comparator").format(key=_excerpt(key))
        raise InvalidParameterValue(f"{refusal} '{operator}' not one of {_listed(field.comparators)}")


def _refuse_key(entity: Entity, key: str, valid_keys: Sequence[str]) -> NoReturn:
    if entity.key_refusal:
        raise InvalidParameterValue(entity.key_refusal.format(key=_excerpt(key)))
    raise InvalidParameterValue(
        f"Invalid {entity.name} key '{_excerpt(key)}' specified. Valid keys are {_listed(valid_keys)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


def _excerpt(text: str) -> str:
    return text if len(text) <= _MAX_EXCERPT else f"{text[:_MAX_EXCERPT]}..."


def _unquoted(quoted: str) -> str:
    quote = quoted[0]
    return quoted[1:-1].replace(quote * 2, quote)


def _int64(literal: str) -> int | None:
    """The integer a literal stands for, None if it is no integer or does not fit 64 bits."""
    if not _INTEGER_LITERAL.fullmatch(literal):
        return None
    # Python refuses to convert very long literals with an error of its own.
    if len(literal.lstrip("-").lstrip("0")) > len(str(_MAX_INT64)):
        return None
    number = int(literal)
    return number if _MIN_INT64 <= number <= _MAX_INT64 else None


def _experiment_id(value: str) -> str:
    number = _int64(value.strip())
    if number is None:
        raise InvalidParameterValue(
            f"Invalid experiment ID '{_excerpt(value)}'. Experiment ID must be a valid integer."
        )
    return str(number)
