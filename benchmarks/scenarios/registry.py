"""The model registry: pages of models, and of the versions of one."""

import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

from benchmarks.figures import Figure
from benchmarks.rest import API, RestError
from benchmarks.session import Session
from benchmarks.settings import CLIENTS

PAGE = 100


def search_models(session: Session) -> Iterator[Figure]:
    """registered-models/search for a page of 100 models, and model-versions/search for the versions of one."""
    models, versions = session.settings.models, session.settings.versions_per_model
    title = f"search {models:,} models with {versions} versions each"
    try:
        session.rest.get("registered-models/search", max_results=1)
    except RestError:
        yield session.figure("search_models", title, "per s", None, note="not offered")
        return
    taken = _seed(session, models, versions)
    note = "" if taken == models else f"over {taken:,} models: it took no more in {session.settings.seed_seconds} s"
    session.server.settle()
    listed = {"max_results": PAGE}
    of_one = {"filter": f"name = '{_name(0)}'", "max_results": PAGE}
    wanted = {"registered_models": min(PAGE, taken), "model_versions": min(PAGE, versions)}
    for endpoint, query, key, what in (
        ("registered-models/search", listed, "registered_models", title),
        ("model-versions/search", of_one, "model_versions", f"search {versions} versions of a model"),
    ):
        found = len(session.rest.get(endpoint, **query).get(key, []))
        wrong = "" if found == wanted[key] else f"the search gave {found} of {wanted[key]}"
        for clients in CLIENTS:
            path = f"{API}{endpoint}?{urlencode(query)}"
            figure = session.loop("search_models", what, clients, "get.lua", [path], note=note)
            yield replace(figure, invalid=figure.invalid or wrong)


def _name(number: int) -> str:
    return f"model-{number:04d}"


def _seed(session: Session, models: int, versions: int) -> int:
    """Makes models with their versions, as many as the server takes in the time for it; how many are whole."""
    until = time.monotonic() + session.settings.seed_seconds
    for number in range(models):
        session.rest.post("registered-models/create", {"name": _name(number)})
        for version in range(versions):
            source = {"name": _name(number), "source": f"s3://models/{number}/{version}"}
            session.rest.post("model-versions/create", source)
        if time.monotonic() > until:
            return number + 1
    return models
