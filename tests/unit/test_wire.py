"""How the fields of a request become the arguments of an endpoint function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from runnel.api.wire import OtherName, RequestParser, parse_json_object, refuse_nul, render_json
from runnel.domain.errors import BadRequest, InvalidParameterValue

HINT = "See the API docs for more information about request parameters."


class Given:
    """What the server gives an endpoint, beside the fields."""


@dataclass(frozen=True, slots=True)
class Item:
    key: str
    amount: float
    count: int = 0
    note: str = ""
    parts: tuple[str, ...] = ()


Colour = Literal["RED", "GREEN", "BLUE"]


def endpoint(
    given: Given,
    name: str,
    old: Annotated[str, OtherName("older")] = "",
    number: int = 7,
    ratio: float = 0.5,
    flag: bool = False,
    colour: Colour = "RED",
    limit: int | None = None,
    items: list[Item] = [],  # noqa: B006
    labels: dict[str, str] = {},  # noqa: B006
    anything: Any = None,
) -> None:
    """Has a field of every type."""


PARSER = RequestParser(endpoint, (Given,))


def parsed(**values: Any) -> dict[str, Any]:
    return PARSER.parse({"name": "n"} | values)


def problem(**values: Any) -> str:
    with pytest.raises(InvalidParameterValue) as refused:
        PARSER.parse({"name": "n"} | values)
    return refused.value.message


def missing(path: str) -> str:
    return f"Missing value for required parameter '{path}'. {HINT}"


def wrong(path: str, shown: str, type_name: str) -> str:
    return f"Invalid value {shown} for parameter '{path}' supplied:  Hint: Value was of type '{type_name}'. {HINT}"


def test_a_signature_tells_fields_from_what_the_server_gives() -> None:
    assert PARSER.given == {"given": Given}
    assert list(PARSER.fields)[:3] == ["name", "old", "number"]
    assert PARSER.lists == {"items"}


def test_fields_that_are_absent_have_their_defaults() -> None:
    assert parsed() == {
        "name": "n",
        "old": "",
        "number": 7,
        "ratio": 0.5,
        "flag": False,
        "colour": "RED",
        "limit": None,
        "items": [],
        "labels": {},
        "anything": None,
    }


def test_null_is_the_same_as_absent_at_every_depth() -> None:
    assert parsed(number=None, colour=None, items=None, labels={"a": "b", "c": None}) == parsed(labels={"a": "b"})
    item = {"key": "k", "amount": 1, "count": None, "parts": None}
    assert parsed(number=None, items=[item])["items"] == [Item("k", 1)]
    assert problem(items=[{"key": None, "amount": 1}]) == missing("items[0].key")


def test_unknown_fields_are_ignored() -> None:
    assert parsed(unknown=1, items=[{"key": "k", "amount": 1, "unknown": {}}])["items"] == [Item("k", 1)]


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("5", 5), (" 5 ", 5), ("-5", -5), (5.0, 5), ("5.0", 5), ("5e2", 500), (1e3, 1000)]
    + [(2**63 - 1, 2**63 - 1), (str(-(2**63)), -(2**63))],
)
def test_integers_come_as_numbers_or_text(value: Any, number: int) -> None:
    assert parsed(number=value, limit=value)["number"] == number
    assert parsed(number=value, limit=value)["limit"] == number


@pytest.mark.parametrize(
    "value",
    [1.5, "1.5", "x", "", "0x10", True, [], {}, math.nan, math.inf, "inf", "nan", 2**63, str(2**63), 1e300, "1e999"],
)
def test_what_is_no_integer_of_64_bits_is_refused(value: Any) -> None:
    assert problem(number=value).startswith("Invalid value ")
    assert "for parameter 'number' supplied" in problem(number=value)


@pytest.mark.parametrize("text", ["9" * 4301, "9" * 100_000, "1" + "0" * 5000])
def test_a_text_of_very_many_digits_is_refused(text: str) -> None:
    assert "for parameter 'number' supplied" in problem(number=text)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0.25, 0.25),
        ("0.25", 0.25),
        ("1e-3", 0.001),
        ("Infinity", math.inf),
        ("-inf", -math.inf),
        ("1e400", math.inf),
    ],
)
def test_doubles_come_as_numbers_or_text(value: Any, number: float) -> None:
    ratio = parsed(ratio=value)["ratio"]
    assert isinstance(ratio, float)
    assert ratio == number


@pytest.mark.parametrize("value", ["NaN", "nan", math.nan])
def test_nan_is_a_double(value: Any) -> None:
    assert math.isnan(parsed(ratio=value)["ratio"])


@pytest.mark.parametrize("value", ["x", "", "1,5", True, [], {}])
def test_what_is_no_double_is_refused(value: Any) -> None:
    assert "for parameter 'ratio' supplied" in problem(ratio=value)


@pytest.mark.parametrize(("value", "name"), [("GREEN", "GREEN"), (1, "RED"), (3, "BLUE"), ("2", "GREEN")])
def test_enums_come_as_names_or_numbers(value: Any, name: str) -> None:
    assert parsed(colour=value)["colour"] == name


@pytest.mark.parametrize("value", ["green", "", 0, 4, -1, "4", True, 1.0, []])
def test_what_is_no_name_or_number_of_an_enum_is_refused(value: Any) -> None:
    assert "for parameter 'colour' supplied" in problem(colour=value)


@pytest.mark.parametrize(("value", "flag"), [(True, True), (False, False), ("true", True), ("false", False)])
def test_booleans_come_as_themselves_or_text(value: Any, flag: bool) -> None:
    assert parsed(flag=value)["flag"] is flag


def test_a_field_may_come_under_its_older_name() -> None:
    assert parsed(older="x")["old"] == "x"
    assert parsed(old="new", older="x")["old"] == "new"


def test_required_fields_are_there_and_not_empty() -> None:
    for values in ({}, {"name": ""}, {"name": None}):
        with pytest.raises(InvalidParameterValue, match="Missing value for required parameter 'name'"):
            PARSER.parse(values)
    assert parsed(items=[{"key": "k", "amount": 0, "note": ""}])["items"] == [Item("k", 0)]
    assert problem(items=[{"key": "", "amount": 0}]) == missing("items[0].key")
    assert problem(items=[{"key": "k"}]) == missing("items[0].amount")


def test_a_wrong_field_is_named_with_its_path_and_shown_as_json() -> None:
    assert problem(name=5) == wrong("name", "5", "int")
    assert problem(items={}) == wrong("items", "{}", "dict")
    assert problem(items=["x"]) == wrong("items[0]", '"x"', "str")
    assert problem(items=[{"key": "k", "amount": 1, "parts": ["a", 1]}]) == wrong("items[0].parts[1]", "1", "int")
    assert problem(labels={"a": 5}) == wrong("labels.a", "5", "int")
    assert problem(name={"b": [1.5, True], "a": "é"}) == wrong("name", '{"a":"\\u00e9","b":[1.5,true]}', "dict")


def test_a_long_value_is_shown_cut() -> None:
    assert len(problem(number="x" * 100_000)) < 800
    assert len(problem(name=list(range(100_000)))) < 800


def test_lists_become_what_the_signature_says() -> None:
    item = {"key": "k", "amount": "1.5", "count": "2", "parts": ["a", "b"]}
    assert parsed(items=[item])["items"] == [Item("k", 1.5, 2, "", ("a", "b"))]


def test_the_first_wrong_item_ends_the_search_for_others() -> None:
    many = [{"key": "k", "amount": 1}, *({"wrong": 1} for _ in range(50_000))]
    assert problem(items=many) == missing("items[1].key")


def test_the_length_of_a_list_is_bounded() -> None:
    assert problem(items=[{"key": "k", "amount": 1}] * 100_001) == "'items' can contain at most 100000 items"


def test_values_nested_too_deeply_are_refused_where_they_are_looked_at() -> None:
    deep: Any = 1
    for _ in range(101):
        deep = [deep]
    assert parsed(anything=deep)["anything"] == deep
    with pytest.raises(BadRequest, match="nested too deeply: at most 100 levels"):
        PARSER.parse({"anything": deep})  # without a name, every value is looked at again


def test_a_type_that_has_no_form_on_the_wire_is_an_error_at_the_start() -> None:
    def wrong(value: complex) -> None: ...

    with pytest.raises(TypeError, match="no wire type for"):
        RequestParser(wrong, ())


# Bodies


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"{}", {}),
        (b' {"a": 1}\n', {"a": 1}),
        (b'{"a": "\xc3\xa9"}', {"a": "é"}),
        (b'"{\\"a\\": 1}"', {"a": 1}),
        (b'{"a": Infinity, "b": -Infinity}', {"a": math.inf, "b": -math.inf}),
        (b'{"a": 100000000000000000000000000000000}', {"a": 1e32}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_a_body_is_a_json_object(body: bytes, value: dict[str, Any]) -> None:
    assert parse_json_object(body) == value


@pytest.mark.parametrize(
    "body", [b"{", b"[1, 2]", b"5", b"null", b'"text"', b"\xff", b'{"a": "\\udc00"}', b"{}{}", b'"5"']
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="The request body "):
        parse_json_object(body)


def test_json_in_another_encoding_is_refused() -> None:
    for encoding in ("utf-16", "utf-32", "latin-1"):
        with pytest.raises(BadRequest):
            parse_json_object('{"a": "é"}'.encode(encoding))


def test_nul_characters_are_found_wherever_they_are() -> None:
    for value, path in [
        ({"a": "\0"}, "a"),
        ({"a": {"b": ["x", "y\0z"]}}, "a.b[1]"),
        ({"a": [{"b\0": 1}]}, "a[0].b\0"),
    ]:
        with pytest.raises(InvalidParameterValue) as refused:
            refuse_nul(value)
        assert refused.value.message == f"Parameter '{path}' must not contain NUL characters"
    refuse_nul({"a": ["\x01", 1, None, {"b": True}]})


def test_a_body_with_an_escaped_nul_character_is_refused() -> None:
    with pytest.raises(InvalidParameterValue, match="Parameter 'a.b' must not contain NUL"):
        parse_json_object(b'{"a": {"b": "x\\u0000"}}')
    assert parse_json_object(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def test_answers_are_compact_json() -> None:
    assert render_json({"a": [1, 2.5, "é", None, True]}) == '{"a":[1,2.5,"é",null,true]}'.encode()
