"""Where a version of a model comes from: which sources are accepted, and which artifacts they lead to."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from runnel.artifacts import locations, model_sources
from runnel.artifacts.model_sources import Origin, refuse_origin
from runnel.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from runnel.domain.model_versions import ModelReference, canonical_stage, parse_model_reference
from runnel.store import linked_models, logged_models, model_versions, registered_models
from runnel.store.model_versions import NewVersion
from runnel.store.runs import get_run_info
from runnel.store.statements import Transaction


def accept_source(
    tx: Transaction, source: str, run_id: str | None, model_id: str | None, trusted_uris: Collection[str]
) -> NewVersion:
    """What is kept of a source, which must be of the run or the logged model that the request names.

    A version of a registered model may be the source as well: then the new one is of the same run and model.
    """
    parts = model_sources.check_source(source, trusted_uris)
    reference = None
    if parts.scheme == "models":
        reference = parse_model_reference(parts.path)
        if parts.netloc and (reference is None or not reference.model_id):
            raise InvalidParameterValue(
                f"Invalid model version source: '{source[:500]}'. Registered model sources must use the active model "
                "registry."
            )
        if reference is None or parts.netloc:
            refuse_origin(source, "model_id")
        if not reference.model_id:
            return _of_registered_version(tx, source, reference, run_id, model_id)
    _check_origin(tx, source, run_id or "", model_id or "")
    location = source
    if model_id:
        model = linked_models.get_logged_model_source(tx, model_id)
        run_id = run_id or model.source_run_id
        if reference is not None:
            location = model.artifact_location
    return NewVersion(source, location, run_id or "", "", model_id or "", "")


def _of_registered_version(
    tx: Transaction, source: str, reference: ModelReference, run_id: str | None, model_id: str | None
) -> NewVersion:
    name = reference.name
    model = registered_models.find_model(tx, name)
    if model is None:
        raise registered_models.not_found(name)
    if model.is_prompt:
        raise InvalidParameterValue(
            f"Invalid model version source: '{source[:500]}'. Prompt versions cannot be used as model version sources."
        )
    model_sources.check_no_relative_path(source)
    if reference.version:
        number = int(reference.version[:20])
    elif reference.alias:
        number = model_versions.number_of_alias(tx, name, reference.alias)
    else:
        number = model_versions.number_of_stage(tx, name, canonical_stage(reference.stage) if reference.stage else "")
    of = model_versions.get_stored_version(tx, name, number)
    if (run_id is not None and run_id != of.run_id) or (model_id is not None and model_id != of.model_id):
        raise InvalidParameterValue(
            f"Invalid model version source: '{source[:500]}'. The run_id and model_id request parameters must match "
            "the referenced model version."
        )
    return NewVersion(f"models:/{name}/{of.version}", of.storage_location, of.run_id, "", of.model_id, "")


def _check_origin(tx: Transaction, source: str, run_id: str, model_id: str) -> None:
    origin: Origin = "model_id" if model_id else "run_id"
    parts = urlsplit(source)
    if locations.is_local(source):
        model_sources.check_local_source(source, origin, _root(tx, source, origin, run_id, model_id))
        return
    model_sources.check_no_relative_path(source)
    if parts.scheme == "runs":
        named, _ = model_sources.run_of_source(parts.path)
        if parts.netloc or not run_id or named != run_id or model_id:
            refuse_origin(source, origin)
    elif parts.scheme == "models":
        reference = parse_model_reference(parts.path)
        if reference is None or not model_id or reference.model_id != model_id:
            refuse_origin(source, "model_id")
    elif model_sources.is_served_source(source):
        root = _root(tx, source, origin, run_id, model_id)
        if root is None or not model_sources.is_within(source, root):
            refuse_origin(source, origin)


def _root(tx: Transaction, source: str, origin: Origin, run_id: str, model_id: str) -> str | None:
    """Where the artifacts of the run or the model are that a request names; None where it names neither."""
    try:
        if model_id:
            return logged_models.get_active_model_ref(tx, model_id).artifact_location
        return get_run_info(tx, run_id)["artifact_uri"] if run_id else None
    except ResourceDoesNotExist:
        refuse_origin(source, origin)


def artifact_uri(tx: Transaction, name: str, number: int) -> str:
    """Where the artifacts of a version lie; those of a run are looked for where the run has them."""
    stored = model_versions.get_stored_version(tx, name, number)
    if stored.is_prompt:
        raise InvalidParameterValue("A version of a prompt has no artifacts.")
    parts = urlsplit(stored.storage_location)
    if parts.scheme != "runs":
        return stored.storage_location
    run_id, path = model_sources.run_of_source(parts.path)
    return locations.append_to_uri_path(get_run_info(tx, run_id)["artifact_uri"], path)
