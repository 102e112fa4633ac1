"""Evaluation datasets: what is in one, the rules for its name and tags, and what a search for them can say.

(The datasets that runs used as inputs are another entity.)
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NotRequired, TypedDict

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.filter_grammars import Entity, Field, FilterGrammar, ValueType
from runnel.domain.validation import check_length, invalid_value

USER_TAG = "mlflow.user"  # says who created a dataset, and who wrote a record

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # no database takes these as text

_TEXT = dict.fromkeys(("=", "!=", "LIKE", "ILIKE"), ValueType.STRING)
_TIME = Field(dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), ValueType.INTEGER), orderable=True)

# Keys and comparators are those of MLflow 3.17 (`SearchEvaluationDatasetsUtils`).
EVALUATION_DATASETS = FilterGrammar(
    entities=(
        Entity(
            "attribute",
            {
                "name": Field(_TEXT | {"IN": ValueType.STRINGS}, orderable=True),
                "created_time": _TIME,
                "last_update_time": _TIME,
                "created_by": Field(_TEXT),
                "last_updated_by": Field(_TEXT),
            },
        ),
        Entity("tag", {"*": Field(_TEXT)}, aliases=frozenset({"tags"})),
    )
)


class EvaluationDataset(TypedDict):
    """An evaluation dataset as clients see it, without its records; tags, schema and profile are JSON in text."""

    dataset_id: str
    name: str
    tags: str
    schema: NotRequired[str]
    profile: NotRequired[str]
    digest: str
    created_time: int
    last_update_time: int
    created_by: NotRequired[str]
    last_updated_by: NotRequired[str]
    experiment_ids: NotRequired[list[str]]


def check_dataset_name(name: str) -> None:
    """Refuses a name of more than 255 characters."""
    check_length("name", name, limits.MAX_EVALUATION_DATASET_NAME_LENGTH)


def parse_tags(text: str) -> dict[str, str | None]:
    """The tags in the JSON object of a request; a value of another type becomes its text, as in MLflow, None stays."""
    tags = _parse_json(text)
    if not isinstance(tags, dict):
        raise InvalidParameterValue(invalid_value("tags", text[:501], "It must be a JSON object, as text."))
    if len(tags) > limits.MAX_EVALUATION_DATASET_TAGS_PER_REQUEST:
        raise InvalidParameterValue(
            f"'tags' can contain at most {limits.MAX_EVALUATION_DATASET_TAGS_PER_REQUEST} tags, got {len(tags)}"
        )
    for key, value in tags.items():
        check_text("key", key, limits.MAX_EVALUATION_DATASET_TAG_KEY_LENGTH)
        if value is not None:
            tags[key] = str(value)
            check_text(f"tags.{key}", tags[key], limits.MAX_EVALUATION_DATASET_TAG_VALUE_LENGTH)
    return tags


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidParameterValue("'tags' is nested too deeply") from None
    except ValueError as error:
        raise InvalidParameterValue(f"'tags' is not valid JSON: {str(error).partition(';')[0]}") from None


def user_of(tags: dict[str, Any], path: str) -> str | None:
    """Who wrote something, as its tags say (the tags that ``path`` names in the request)."""
    user = tags.get(USER_TAG)
    if user is None:
        return None
    check_text(f"{path}.{USER_TAG}", str(user), limits.MAX_EVALUATION_DATASET_USER_LENGTH)
    return str(user)


def check_text(path: str, text: str, limit: int) -> None:
    """Refuses a text out of JSON that is too long, or that no database could keep."""
    check_length(path, text, limit)
    if _UNSTORABLE.search(text):
        raise InvalidParameterValue(f"'{path}' must not contain NUL characters or lone surrogates")


def dataset_digest(name: str, last_update_time: int) -> str:
    """MLflow's digest of an evaluation dataset: another one after each change of its records."""
    return hashlib.sha256(f"{name}:{last_update_time}".encode()).hexdigest()[:8]


def record_count(profile: str | None) -> int:
    """How many records a dataset has, out of its profile."""
    counts = json.loads(profile) if profile else None
    return counts["num_records"] if counts else 0


def profile_of(count: int) -> str:
    """The profile of a dataset with so many records; that of one that has lost all of them is null, as in MLflow."""
    return json.dumps({"num_records": count} if count else None)
