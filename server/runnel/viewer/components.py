"""The sheet of components: each part that pages are made of, once, for those who build more of them."""

from __future__ import annotations

import time

from runnel.viewer.pages import Crumb, Page, PageRequest
from runnel.viewer.tables import Cell, Column, Row, Table, bars_and_best

_NOTE = """# A note
With **bold**, `code`, a [link](https://example.org), a list

- of one
- and two things

| a table | with |
| --- | --- |
| two | columns |

<script>alert("and no HTML")</script>
"""


async def components_page(request: PageRequest) -> Page:
    """Every component with plain and with awkward content."""
    now = int(time.time() * 1_000)
    scores = [0.833333, 0.91, float("nan"), None, 0.12]
    bars, best = bars_and_best(scores, "highest")
    columns = (
        Column("name", "Name", sort="?sort=name"),
        Column("status", "Status", "status"),
        Column("time", "Time", "time", sort="?sort=time", sorted="descending"),
        Column("score", "score", "number", group="Metrics", sort="?sort=score"),
        Column("lr", "learning_rate", "number", group="Metrics"),
        Column("count", "rows", "count", group="Metrics"),
        Column("text", "prompt", "long", group="Params"),
        Column("id", "Id", "code"),
    )
    names = ["plain", "nested", "x" * 120, "\u202eright to left", "<script>alert(1)</script>"]
    states = ["FINISHED", "RUNNING", "FAILED", "KILLED", "DELETED"]
    texts = ["short", "a longer text " * 20, "", "two\nlines", "\u05e9\u05dc\u05d5\u05dd"]
    rows = [
        Row(
            [
                Cell(names[index], href="components"),
                Cell(states[index]),
                Cell(now - 40**index * 50_000),
                Cell(scores[index], bar=bars[index], is_best=index in best),
                Cell(1.5e-5 * (index + 1)),
                Cell(12_345 * index, note="+" if index == 4 else ""),
                Cell(texts[index]),
                Cell("0123456789abcdef"),
            ],
            str(index),
            depth=1 if index == 1 else 0,
        )
        for index in range(5)
    ]
    table = Table(columns, rows, "A table", next_query="?page=2", first_query="?", key_name="number")
    view = {"now": now, "note": _NOTE, "states": [*states, "SCHEDULED", "OK", "ERROR", "IN_PROGRESS"]}
    crumbs = [Crumb("An experiment", "components"), Crumb("A run", "components")]
    return Page("Components", "components.html", {}, {"table": table}, view, crumbs)
