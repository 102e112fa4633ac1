"""Records of evaluation datasets: how they are sent and kept, and what a dataset's schema says of them.

Two records with the same inputs are one: what is sent later is merged into what is there (MLflow's rules, as are the
types in the schema).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.evaluation_datasets import user_of
from runnel.domain.validation import invalid_value

SOURCE_TYPES = ("UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE")

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\n\r]*")
_SOURCE_MEMBERS = {"source_type", "source_data"}
_TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "float",
    str: "string",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True, slots=True)
class SentRecord:
    """A record as a client sends it; ``path`` is where it stands in the request.

    ``has_outputs``: whether it says anything of outputs, if only that there are none.
    """

    path: str
    inputs: dict[str, Any]
    input_hash: str
    has_outputs: bool
    outputs: Any
    expectations: dict[str, Any] | None
    tags: dict[str, Any]
    source: dict[str, Any] | None
    user: str | None


@dataclass(slots=True)
class KeptRecord:
    """A record as it is kept, its parts as JSON."""

    inputs: str
    outputs: str | None
    expectations: str | None
    tags: str
    source: str | None
    created_by: str | None
    last_updated_by: str | None

    @property
    def size(self) -> int:
        """The characters of all its JSON."""
        return sum(len(part or "") for part in (self.inputs, self.outputs, self.expectations, self.tags, self.source))


# Records as they are sent


def parse_records(text: str) -> Iterator[SentRecord]:
    """The records of a JSON list, one at a time; what is wrong is an error when its turn comes."""
    for index, value in enumerate(_elements(text)):
        if index == limits.MAX_DATASET_RECORDS_PER_REQUEST:
            raise InvalidParameterValue(
                f"'records' can contain at most {limits.MAX_DATASET_RECORDS_PER_REQUEST} records; send the others in "
                "further requests"
            )
        yield _sent_record(value, f"records[{index}]")


def _elements(text: str) -> Iterator[Any]:
    position = _after_blanks(text, 0)
    if text[position : position + 1] != "[":
        raise InvalidParameterValue(invalid_value("records", text[:501], "It must be a JSON list of records, as text."))
    position = _after_blanks(text, position + 1)
    is_first = True
    while text[position : position + 1] != "]":
        if not is_first:
            if text[position : position + 1] != ",":
                raise _invalid_json(f"Expecting ',' delimiter (char {position})")
            position = _after_blanks(text, position + 1)
        is_first = False
        try:
            value, position = _DECODER.raw_decode(text, position)
        except RecursionError:
            raise _nested_too_deeply("records") from None
        except ValueError as error:
            raise _invalid_json(str(error).partition(";")[0]) from None
        yield value
        position = _after_blanks(text, position)
    if _after_blanks(text, position + 1) != len(text):
        raise _invalid_json(f"Extra data (char {position + 1})")


def _after_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    assert match is not None
    return match.end()


def _invalid_json(reason: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"'records' is not valid JSON: {reason}")


def _nested_too_deeply(path: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"'{path}' is nested too deeply: at most {limits.MAX_DATASET_RECORD_DEPTH} levels are allowed"
    )


def _sent_record(value: Any, path: str) -> SentRecord:
    record = _object(value, path)
    _check_depth(record, path)
    inputs = _object(record.get("inputs", {}), f"{path}.inputs")
    tags = _object_or_none(record, "tags", path) or {}
    return SentRecord(
        path=path,
        inputs=inputs,
        input_hash=_hash(inputs),
        has_outputs="outputs" in record,
        outputs=record.get("outputs"),
        expectations=_object_or_none(record, "expectations", path),
        tags=tags,
        source=_source(_object_or_none(record, "source", path), f"{path}.source"),
        user=user_of(tags, f"{path}.tags"),
    )


def _hash(inputs: dict[str, Any]) -> str:
    """What tells a record from the others of its dataset: MLflow's hash of the inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParameterValue(invalid_value(path, value, "It must be an object."))
    return value


def _object_or_none(record: dict[str, Any], name: str, path: str) -> dict[str, Any] | None:
    value = record.get(name)
    return None if value is None else _object(value, f"{path}.{name}")


def _source(source: dict[str, Any] | None, path: str) -> dict[str, Any] | None:
    if not source:
        return None
    unknown = sorted(source.keys() - _SOURCE_MEMBERS)
    if unknown:
        raise InvalidParameterValue(
            invalid_value(path, source, f"It can only have {' and '.join(sorted(_SOURCE_MEMBERS))}.")
        )
    source_type = str(source.get("source_type")).upper()
    if source_type not in SOURCE_TYPES:
        raise InvalidParameterValue(
            f"Invalid dataset record source type: {source_type[:100]}. Valid source types: {list(SOURCE_TYPES)}"
        )
    return {"source_type": source_type, "source_data": _object_or_none(source, "source_data", path) or {}}


def _check_depth(value: Any, path: str, depth: int = 0) -> None:
    if depth > limits.MAX_DATASET_RECORD_DEPTH:
        raise _nested_too_deeply(path)
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            _check_depth(item, path, depth + 1)


# Records as they are kept


def new_record(sent: SentRecord) -> KeptRecord:
    """A record with inputs that the dataset did not have; of outputs that were not sent it has none (``{}``)."""
    return KeptRecord(
        inputs=json.dumps(sent.inputs),
        outputs=_json_or_none(sent.outputs if sent.has_outputs else {}),
        expectations=_json_or_none(sent.expectations),
        tags=json.dumps(sent.tags),
        source=_json_or_none(sent.source),
        created_by=sent.user,
        last_updated_by=sent.user,
    )


def merge(record: KeptRecord, sent: Sequence[SentRecord]) -> None:
    """Merges records of the same inputs into a kept one, as if they came one after the other.

    Outputs are replaced, expectations and tags are added to those that are there, the source stays. However many
    records are merged, what is kept is parsed once.
    """
    expectations: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    with_outputs = None
    for each in sent:
        if each.has_outputs:
            with_outputs = each
        expectations.update(each.expectations or {})
        tags.update(each.tags)
        record.last_updated_by = each.user or record.last_updated_by
    if with_outputs is not None:
        record.outputs = _json_or_none(with_outputs.outputs)
    if expectations:
        record.expectations = json.dumps(json.loads(record.expectations or "{}") | expectations)
    if tags:
        record.tags = json.dumps(json.loads(record.tags) | tags)


def check_size(record: KeptRecord, path: str) -> None:
    """Refuses a record of too many characters, merged with what was there."""
    if record.size > limits.MAX_DATASET_RECORD_LENGTH:
        raise InvalidParameterValue(
            f"'{path}' exceeds the maximum length of {limits.MAX_DATASET_RECORD_LENGTH} characters "
            "(as JSON, merged with the record of the same inputs that the dataset has)"
        )


def _json_or_none(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def render_record(dataset_id: str, dataset_record_id: str, record: KeptRecord, created: int, updated: int) -> str:
    """A record as clients see it, in JSON; times in milliseconds since the epoch."""
    source: dict[str, Any] = json.loads(record.source) if record.source else {}
    source_type = source.get("source_type")
    id_name = "trace_id" if source_type == "TRACE" else "source_id"
    source_id = source.get("source_data", {}).get(id_name)
    members = {
        "dataset_record_id": json.dumps(dataset_record_id),
        "dataset_id": json.dumps(dataset_id),
        "inputs": record.inputs,
        "outputs": record.outputs,
        "expectations": record.expectations,
        "tags": record.tags,
        "source": record.source,
        "source_id": None if source_id is None else json.dumps(str(source_id)),
        "source_type": _json_or_none(source_type),
        "created_time": str(created),
        "last_update_time": str(updated),
        "created_by": _json_or_none(record.created_by),
        "last_updated_by": _json_or_none(record.last_updated_by),
    }
    return "{" + ", ".join(f'"{name}": {part}' for name, part in members.items() if part is not None) + "}"


# The schema


def parse_schema(schema: str | None) -> dict[str, Any]:
    """The schema of a dataset, to be extended; that of a dataset without one is empty."""
    if schema is None:
        return {"inputs": {}, "outputs": {}, "expectations": {}, "version": "1.0"}
    parsed: dict[str, Any] = json.loads(schema)
    return parsed


def extend_schema(schema: dict[str, Any], record: SentRecord) -> None:
    """Adds the types of the fields that the schema does not know; its first type of a field stays.

    Outputs that are no object have one type for all of them. A schema lists a bounded number of fields with names of
    a bounded length: it describes, it does not restrict.
    """
    parts = {"inputs": record.inputs, "outputs": record.outputs, "expectations": record.expectations}
    for part, value in parts.items():
        known = schema[part]
        if isinstance(value, dict) and isinstance(known, dict):
            for name, item in value.items():
                if name in known or len(name) > limits.MAX_DATASET_SCHEMA_FIELD_LENGTH:
                    continue
                if len(known) == limits.MAX_DATASET_SCHEMA_FIELDS:
                    break
                known[name] = _TYPE_NAMES[type(item)]
        elif value is not None and not known:
            schema[part] = _TYPE_NAMES[type(value)]
