"""Scorers in SQL: their versions, and how they score online."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from runnel.domain import limits
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.experiments import ACTIVE
from runnel.domain.scorers import OnlineScoringConfig, Scorer, check_scores_online
from runnel.store.dialects import Dialect
from runnel.store.experiments import get_active_experiment, now_in_milliseconds
from runnel.store.schema import experiments, online_scoring_configs, scorer_versions, scorers
from runnel.store.statements import Statement, Transaction

# What a version takes in an answer beside its definition, in characters, at most.
_SCORER_OVERHEAD = 1_000


class ScorerRef(NamedTuple):
    """What a command needs to know of the scorer it works on."""

    id: int
    scorer_id: str


_IS_SCORER = sa.and_(
    scorers.c.experiment_id == sa.bindparam("experiment_id"), scorers.c.scorer_name == sa.bindparam("name")
)
_SELECT_REF = sa.select(scorers.c.id, scorers.c.scorer_id).where(_IS_SCORER)
SELECT_REF = Statement(lambda d: _SELECT_REF)
LOCK_REF = Statement(lambda d: _SELECT_REF.with_for_update())
# What is set is what is there: the statement gives the row back, and locks it, whether it is new or not.
INSERT_SCORER = Statement(
    lambda d: (
        (insert := d.insert(scorers))
        .values(
            scorer_id=sa.bindparam("scorer_id"),
            experiment_id=sa.bindparam("experiment_id"),
            scorer_name=sa.bindparam("name"),
        )
        .on_conflict_do_update(
            index_elements=["experiment_id", "scorer_name"], set_={"scorer_name": insert.excluded.scorer_name}
        )
        .returning(scorers.c.id, scorers.c.scorer_id)
    )
)
SELECT_LAST_VERSION = Statement(
    lambda d: sa.select(sa.func.max(scorer_versions.c.scorer_version)).where(
        scorer_versions.c.scorer == sa.bindparam("scorer")
    )
)
INSERT_VERSION = Statement(
    lambda d: d.insert(scorer_versions).values(
        scorer=sa.bindparam("scorer"),
        scorer_version=sa.bindparam("version"),
        creation_time=sa.bindparam("now"),
        size=sa.bindparam("size"),
        serialized_scorer=sa.bindparam("serialized_scorer"),
    )
)
DELETE_VERSION = Statement(
    lambda d: sa.delete(scorer_versions).where(
        scorer_versions.c.scorer == sa.bindparam("scorer"), scorer_versions.c.scorer_version == sa.bindparam("version")
    )
)
DELETE_VERSIONS = Statement(
    lambda d: sa.delete(scorer_versions).where(scorer_versions.c.scorer == sa.bindparam("scorer"))
)
DELETE_CONFIG = Statement(
    lambda d: sa.delete(online_scoring_configs).where(online_scoring_configs.c.scorer == sa.bindparam("scorer"))
)
DELETE_SCORER = Statement(lambda d: sa.delete(scorers).where(scorers.c.id == sa.bindparam("scorer")))

UPSERT_CONFIG = Statement(
    lambda d: (
        (insert := d.insert(online_scoring_configs))
        .values(
            scorer=sa.bindparam("scorer"),
            online_scoring_config_id=sa.bindparam("config_id"),
            sample_rate=sa.bindparam("sample_rate"),
            filter_string=sa.bindparam("filter_string"),
        )
        .on_conflict_do_update(
            index_elements=["scorer"],
            set_={
                "online_scoring_config_id": insert.excluded.online_scoring_config_id,
                "sample_rate": insert.excluded.sample_rate,
                "filter_string": insert.excluded.filter_string,
            },
        )
    )
)
SELECT_CONFIGS = Statement(
    lambda d: (
        sa.select(
            online_scoring_configs.c.online_scoring_config_id,
            scorers.c.scorer_id,
            online_scoring_configs.c.sample_rate,
            scorers.c.experiment_id,
            online_scoring_configs.c.filter_string,
        )
        .join_from(scorers, online_scoring_configs, online_scoring_configs.c.scorer == scorers.c.id)
        .where(d.is_in(scorers.c.scorer_id, "scorer_ids"))
        .order_by(scorers.c.id)
    )
)


# Which versions a query is about

_other = scorer_versions.alias("other")
_IS_LATEST = (
    scorer_versions.c.scorer_version
    == sa.select(sa.func.max(_other.c.scorer_version)).where(_other.c.scorer == scorers.c.id).scalar_subquery()
)
_OF_ACTIVE_EXPERIMENT = sa.exists().where(
    experiments.c.experiment_id == scorers.c.experiment_id, experiments.c.lifecycle_stage == ACTIVE
)


class _Versions:
    """A query for versions of scorers, and for what they take together in an answer."""

    def __init__(self, *conditions: Any) -> None:
        """``conditions`` are those of the query, or functions of the dialect that make them."""
        self._conditions = conditions
        self._select = Statement(
            lambda d: self._query(
                d,
                scorers.c.experiment_id,
                scorers.c.scorer_name,
                scorer_versions.c.scorer_version,
                scorer_versions.c.serialized_scorer,
                scorer_versions.c.creation_time,
                scorers.c.scorer_id,
            ).order_by(scorers.c.experiment_id, scorers.c.scorer_name, scorer_versions.c.scorer_version)
        )
        self._measure = Statement(
            lambda d: self._query(d, sa.func.sum(scorer_versions.c.size), sa.func.count(scorer_versions.c.size))
        )

    def _query(self, dialect: Dialect, *columns: Any) -> sa.Select[Any]:
        return (
            sa.select(*columns)
            .join_from(scorers, scorer_versions, scorer_versions.c.scorer == scorers.c.id)
            .where(*[item(dialect) if callable(item) else item for item in self._conditions])
        )

    def read(self, tx: Transaction, **parameters: Any) -> list[Scorer]:
        """The versions; refuses what would be more than one answer may hold."""
        measured = tx.row(self._measure, **parameters)
        assert measured is not None
        if (measured[0] or 0) + _SCORER_OVERHEAD * measured[1] > limits.MAX_SCORERS_LENGTH:
            raise InvalidParameterValue(
                f"The {measured[1]} scorers together are larger than the {limits.MAX_SCORERS_LENGTH} characters that "
                "one answer can hold; ask for fewer experiments, or for single versions"
            )
        return [
            {
                "experiment_id": experiment_id,
                "scorer_name": name,
                "scorer_version": version,
                "serialized_scorer": serialized_scorer,
                "creation_time": creation_time,
                "scorer_id": scorer_id,
            }
            for experiment_id, name, version, serialized_scorer, creation_time, scorer_id in tx.rows(
                self._select, **parameters
            )
        ]


LATEST_OF_ALL = _Versions(_IS_LATEST, _OF_ACTIVE_EXPERIMENT)
LATEST_OF_EXPERIMENTS = _Versions(
    _IS_LATEST, _OF_ACTIVE_EXPERIMENT, lambda d: d.is_in(scorers.c.experiment_id, "experiment_ids")
)
ALL_OF_ONE = _Versions(_IS_SCORER)
LATEST_OF_ONE = _Versions(_IS_SCORER, _IS_LATEST)
ONE_OF_ONE = _Versions(_IS_SCORER, scorer_versions.c.scorer_version == sa.bindparam("version"))


def _not_found(experiment_id: int, name: str, version: int | None = None) -> ResourceDoesNotExist:
    which = f"Scorer with name '{name[: limits.MAX_SCORER_NAME_LENGTH]}'"
    if version is not None:
        which += f" and version {version}"
    return ResourceDoesNotExist(f"{which} not found for experiment {experiment_id}.")


def register_scorer(tx: Transaction, experiment_id: int, name: str, serialized_scorer: str) -> Scorer:
    """Adds a version to a scorer, numbered behind its latest; the first version creates the scorer."""
    get_active_experiment(tx, experiment_id)
    row = tx.row(INSERT_SCORER, scorer_id=str(uuid.uuid4()), experiment_id=experiment_id, name=name)
    assert row is not None
    ref = ScorerRef(*row)
    last = tx.row(SELECT_LAST_VERSION, scorer=ref.id)
    assert last is not None
    version, now = (last[0] or 0) + 1, now_in_milliseconds()
    tx.execute(
        INSERT_VERSION,
        scorer=ref.id,
        version=version,
        now=now,
        size=len(serialized_scorer),
        serialized_scorer=serialized_scorer,
    )
    return {
        "experiment_id": experiment_id,
        "scorer_name": name,
        "scorer_version": version,
        "serialized_scorer": serialized_scorer,
        "creation_time": now,
        "scorer_id": ref.scorer_id,
    }


def list_scorers(tx: Transaction, experiment_id: int) -> list[Scorer]:
    """The latest versions of the scorers of an active experiment, by their names."""
    get_active_experiment(tx, experiment_id)
    return list_scorers_of_experiments(tx, [experiment_id])


def list_scorers_of_experiments(tx: Transaction, experiment_ids: Sequence[int]) -> list[Scorer]:
    """The latest versions of the scorers of those of the experiments that are active; of all of them, without ids."""
    if not experiment_ids:
        return LATEST_OF_ALL.read(tx)
    return LATEST_OF_EXPERIMENTS.read(tx, experiment_ids=list(experiment_ids))


def list_scorer_versions(tx: Transaction, experiment_id: int, name: str) -> list[Scorer]:
    """All versions of a scorer, the first one first; there must be one."""
    get_active_experiment(tx, experiment_id)
    found = ALL_OF_ONE.read(tx, experiment_id=experiment_id, name=name)
    if not found:
        raise _not_found(experiment_id, name)
    return found


def get_scorer(tx: Transaction, experiment_id: int, name: str, version: int | None) -> Scorer:
    """One version of a scorer; the latest if none is named."""
    get_active_experiment(tx, experiment_id)
    if version is None:
        found = LATEST_OF_ONE.read(tx, experiment_id=experiment_id, name=name)
    else:
        found = ONE_OF_ONE.read(tx, experiment_id=experiment_id, name=name, version=version)
    if not found:
        exists = tx.row(SELECT_REF, experiment_id=experiment_id, name=name) is not None
        raise _not_found(experiment_id, name, version if exists else None)
    return found[0]


def delete_scorer(tx: Transaction, experiment_id: int, name: str, version: int | None) -> None:
    """Removes a version for good, or the scorer with all of its versions and how it scores online."""
    get_active_experiment(tx, experiment_id)
    ref = _lock_scorer(tx, experiment_id, name)
    if version is None:
        deleted = tx.execute(DELETE_VERSIONS, scorer=ref.id).rowcount
    else:
        deleted = tx.execute(DELETE_VERSION, scorer=ref.id, version=version).rowcount
    if not deleted:
        raise _not_found(experiment_id, name, version)
    if version is None:
        tx.execute(DELETE_CONFIG, scorer=ref.id)
        tx.execute(DELETE_SCORER, scorer=ref.id)


def _lock_scorer(tx: Transaction, experiment_id: int, name: str) -> ScorerRef:
    row = tx.row(LOCK_REF, experiment_id=experiment_id, name=name)
    if row is None:
        raise _not_found(experiment_id, name)
    return ScorerRef(*row)


def get_online_scoring_configs(tx: Transaction, scorer_ids: Sequence[str]) -> list[OnlineScoringConfig]:
    """How scorers score online; those that do not, and those that are not there, have nothing."""
    found = []
    for config_id, scorer_id, sample_rate, experiment_id, filter_string in tx.rows(
        SELECT_CONFIGS, scorer_ids=list(scorer_ids)
    ):
        config: OnlineScoringConfig = {
            "online_scoring_config_id": config_id,
            "scorer_id": scorer_id,
            "sample_rate": sample_rate,
            "experiment_id": str(experiment_id),
        }
        if filter_string is not None:
            config["filter_string"] = filter_string
        found.append(config)
    return found


def upsert_online_scoring_config(
    tx: Transaction, experiment_id: int, name: str, sample_rate: float, filter_string: str | None
) -> OnlineScoringConfig:
    """Sets how a scorer scores online, in place of what was set; its latest version must allow a rate above 0."""
    get_active_experiment(tx, experiment_id)
    ref = _lock_scorer(tx, experiment_id, name)
    latest = LATEST_OF_ONE.read(tx, experiment_id=experiment_id, name=name)
    if latest and sample_rate > 0:
        check_scores_online(name, latest[0]["serialized_scorer"])
    tx.execute(
        UPSERT_CONFIG,
        scorer=ref.id,
        config_id=uuid.uuid4().hex,
        sample_rate=sample_rate,
        filter_string=filter_string,
    )
    return get_online_scoring_configs(tx, [ref.scorer_id])[0]
