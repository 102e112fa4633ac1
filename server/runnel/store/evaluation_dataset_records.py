"""The records of evaluation datasets in SQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

from runnel.domain import limits, page_tokens
from runnel.domain.errors import InvalidParameterValue
from runnel.domain.evaluation_dataset_records import (
    KeptRecord,
    SentRecord,
    check_size,
    extend_schema,
    merge,
    new_record,
    parse_schema,
    render_record,
)
from runnel.domain.evaluation_datasets import dataset_digest, profile_of, record_count
from runnel.store.evaluation_datasets import get_dataset_key, lock_dataset, not_found
from runnel.store.experiments import now_in_milliseconds
from runnel.store.schema import evaluation_dataset_records as records
from runnel.store.schema import evaluation_datasets
from runnel.store.statements import RowsStatement, Statement, Transaction

_BATCH_SIZE = 1_000  # records that are written at once

_KEPT = (
    records.c.inputs,
    records.c.outputs,
    records.c.expectations,
    records.c.tags,
    records.c.source,
    records.c.created_by,
    records.c.last_updated_by,
)
_RECORD: tuple[tuple[str, Any], ...] = (
    ("position", sa.BigInteger()),
    ("dataset_record_id", sa.Text()),
    ("input_key", sa.Text()),
    ("size", sa.BigInteger()),
    ("inputs", sa.Text()),
    ("outputs", sa.Text()),
    ("expectations", sa.Text()),
    ("tags", sa.Text()),
    ("source", sa.Text()),
    ("created_by", sa.Text()),
    ("last_updated_by", sa.Text()),
)


def _upsert_records(d: Any, rows: sa.FromClause) -> Any:
    insert = d.insert(records)
    names = [name for name, _ in _RECORD]
    source = sa.select(
        *[rows.c[name] for name in names],
        sa.bindparam("dataset"),
        sa.bindparam("now"),
        sa.bindparam("now"),
    ).where(sa.true())
    changed = ("size", "outputs", "expectations", "tags", "last_updated_by", "last_update_time")
    return insert.from_select([*names, "dataset_id", "created_time", "last_update_time"], source).on_conflict_do_update(
        index_elements=["input_key"], set_={name: insert.excluded[name] for name in changed}
    )


# One row per input key; of a record that is there, what cannot change is left out.
UPSERT_RECORDS = RowsStatement(_RECORD, _upsert_records)
SELECT_KEPT_SIZES = Statement(
    lambda d: sa.select(records.c.input_key, records.c.size).where(d.is_in(records.c.input_key, "keys"))
)
SELECT_KEPT = Statement(lambda d: sa.select(records.c.input_key, *_KEPT).where(d.is_in(records.c.input_key, "keys")))
SET_SUMMARY = Statement(
    lambda d: (
        sa.update(evaluation_datasets)
        .where(evaluation_datasets.c.id == sa.bindparam("dataset"))
        .values(
            schema=sa.bindparam("new_schema"),
            profile=sa.bindparam("new_profile"),
            last_position=sa.bindparam("new_last_position"),
            digest=sa.bindparam("new_digest"),
            last_update_time=sa.bindparam("now"),
            last_updated_by=sa.bindparam("user"),
        )
    )
)
SET_PROFILE = Statement(
    lambda d: (
        sa.update(evaluation_datasets)
        .where(evaluation_datasets.c.id == sa.bindparam("dataset"))
        .values(profile=sa.bindparam("new_profile"))
    )
)
SELECT_SIZES = Statement(
    lambda d: (
        sa.select(records.c.position, records.c.size)
        .where(records.c.dataset_id == sa.bindparam("dataset"), records.c.position > sa.bindparam("after"))
        .order_by(records.c.position)
        .limit(sa.bindparam("limit"))
    )
)
SELECT_PAGE = Statement(
    lambda d: (
        sa.select(records.c.dataset_record_id, records.c.created_time, records.c.last_update_time, *_KEPT)
        .where(
            records.c.dataset_id == sa.bindparam("dataset"),
            records.c.position > sa.bindparam("after"),
            records.c.position <= sa.bindparam("last"),
        )
        .order_by(records.c.position)
    )
)
DELETE_RECORDS = Statement(
    lambda d: sa.delete(records).where(
        records.c.dataset_id == sa.bindparam("dataset"), d.is_in(records.c.dataset_record_id, "ids")
    )
)


def upsert_dataset_records(tx: Transaction, dataset_id: str, sent: Iterable[SentRecord]) -> tuple[int, int]:
    """Adds records, or merges them into those with the same inputs; how many were new, and how many were there.

    They are taken from ``sent`` batch by batch. Schema, profile, digest and who changed the dataset last follow.
    """
    ref = lock_dataset(tx, dataset_id)
    if ref is None:
        raise not_found(dataset_id)
    now = now_in_milliseconds()
    schema = parse_schema(ref.schema)
    total = inserted = merged_length = 0
    user = None
    iterator = iter(sent)
    while batch := list(islice(iterator, _BATCH_SIZE)):
        groups = _by_input_key(ref.id, batch)
        sizes = dict(tx.rows(SELECT_KEPT_SIZES, keys=list(groups)))
        merged_length += sum(sizes.values())
        _check_merged_length(merged_length)
        for part in _parts(groups, sizes):
            inserted += _write(tx, ref.id, part, ref.last_position + inserted, now)
        total += len(batch)
        for record in batch:
            extend_schema(schema, record)
            user = record.user or user
    count = record_count(ref.profile) + inserted
    tx.execute(
        SET_SUMMARY,
        dataset=ref.id,
        new_schema=json.dumps(schema) if total else ref.schema,
        new_profile=profile_of(count) if count else ref.profile,
        new_last_position=ref.last_position + inserted,
        new_digest=dataset_digest(ref.name, now),
        now=now,
        user=user,
    )
    return inserted, total - inserted


_Groups = dict[str, list[SentRecord]]  # by their input key, in the order in which the keys came


def _by_input_key(dataset: int, batch: Sequence[SentRecord]) -> _Groups:
    groups: _Groups = {}
    for record in batch:
        groups.setdefault(f"{dataset}:{record.input_hash}", []).append(record)
    return groups


def _check_merged_length(length: int) -> None:
    if length > limits.MAX_MERGED_RECORDS_LENGTH:
        raise InvalidParameterValue(
            f"The records that 'records' are to be merged with have more than {limits.MAX_MERGED_RECORDS_LENGTH} "
            "characters; send fewer at once"
        )


def _parts(groups: _Groups, sizes: Mapping[str, int]) -> Iterator[_Groups]:
    """The groups in parts of which the dataset holds so little (``sizes``) that it can be read at once."""
    keys = list(groups)
    while keys:
        count = _count_within_limit([sizes.get(key, 0) for key in keys])
        yield {key: groups[key] for key in keys[:count]}
        keys = keys[count:]


def _count_within_limit(sizes: Sequence[int]) -> int:
    """How many of some records can be in memory at once, by their sizes; one always can."""
    total = 0
    for index, size in enumerate(sizes):
        total += size
        if index and total > limits.MAX_DATASET_RECORDS_LENGTH:
            return index
    return len(sizes)


def _write(tx: Transaction, dataset: int, groups: _Groups, last_position: int, now: int) -> int:
    """Writes one record per group, new ones behind the last position; how many were new."""
    kept = {row[0]: KeptRecord(*row[1:]) for row in tx.rows(SELECT_KEPT, keys=list(groups))}
    rows = []
    new_count = 0
    for key, sent in groups.items():
        record = kept.get(key)
        position = 0  # of a record that is there, neither the position nor the new id is used
        if record is None:
            record = new_record(sent[0])
            new_count += 1
            position = last_position + new_count
            sent = sent[1:]
        merge(record, sent)
        check_size(record, groups[key][-1].path)
        rows.append(_row(position, key, record))
    tx.write_rows(UPSERT_RECORDS, rows, dataset=dataset, now=now)
    return new_count


def _row(position: int, key: str, record: KeptRecord) -> tuple[Any, ...]:
    return (
        position,
        f"dr-{uuid.uuid4().hex}",
        key,
        record.size,
        record.inputs,
        record.outputs,
        record.expectations,
        record.tags,
        record.source,
        record.created_by,
        record.last_updated_by,
    )


def get_dataset_records(
    tx: Transaction, dataset_id: str, max_results: int, page_token: str
) -> tuple[list[str], str | None]:
    """A page of records, each as JSON, in the order in which they came, and the token of the next page.

    A page ends earlier where it would hold too many characters. A dataset that is not there has no records.
    """
    dataset = get_dataset_key(tx, dataset_id)
    if dataset is None:
        return [], None
    identity = ("evaluation dataset records", dataset_id)
    position = 0
    if page_token:
        (value,) = page_tokens.decode_page_token(page_token, identity, 1)
        if not isinstance(value, int):
            raise InvalidParameterValue("Invalid page token: it holds a value of another type than a record's position")
        position = value
    sizes = tx.rows(SELECT_SIZES, dataset=dataset, after=position, limit=max_results + 1)
    count = _count_within_limit([size for _, size in sizes[:max_results]])
    if count == 0:
        return [], None
    last = sizes[count - 1][0]
    page = [
        render_record(dataset_id, record_id, KeptRecord(*kept), created, updated)
        for record_id, created, updated, *kept in tx.rows(SELECT_PAGE, dataset=dataset, after=position, last=last)
    ]
    return page, page_tokens.encode_page_token([last], identity) if count < len(sizes) else None


def delete_dataset_records(tx: Transaction, dataset_id: str, record_ids: Sequence[str]) -> int:
    """Removes records for good; how many of them were there. A dataset that is not there has none."""
    ref = lock_dataset(tx, dataset_id)
    if ref is None:
        return 0
    deleted = tx.execute(DELETE_RECORDS, dataset=ref.id, ids=list(record_ids)).rowcount
    if deleted:
        tx.execute(SET_PROFILE, dataset=ref.id, new_profile=profile_of(record_count(ref.profile) - deleted))
    return deleted
