"""Where a page of a list ends: after so many entities, or earlier when they are large."""

from __future__ import annotations

from collections.abc import Sequence

from runnel.store.page_sizes import MAX_PAGE_BYTES, Row, gather_page


def texts_of(rows: Sequence[Row]) -> list[str]:
    return ["x" * row[1] for row in rows]


def rows_of_sizes(*sizes: int) -> list[Row]:
    return list(enumerate(sizes))


def test_a_page_has_as_many_entities_as_were_asked_for() -> None:
    for count, max_results in ((0, 5), (4, 5), (5, 5), (700, 700)):
        entities, last = gather_page(rows_of_sizes(*[3] * count), max_results, texts_of)
        assert (len(entities), last) == (count, None)
    for max_results in (1, 9, 10, 11, 99, 600):
        entities, last = gather_page(rows_of_sizes(*[3] * (max_results + 1)), max_results, texts_of)
        assert len(entities) == max_results
        assert last == (max_results - 1, 3)


def test_a_page_ends_before_it_becomes_too_large() -> None:
    entities, last = gather_page(rows_of_sizes(*[MAX_PAGE_BYTES // 4] * 9), 8, texts_of)
    assert len(entities) == 3
    assert last == (2, MAX_PAGE_BYTES // 4)


def test_an_entity_that_is_too_large_has_a_page_of_its_own() -> None:
    rows = rows_of_sizes(1, MAX_PAGE_BYTES, 1)
    entities, last = gather_page(rows, 3, texts_of)
    assert (len(entities), last) == (1, rows[0])
    entities, last = gather_page(rows[1:], 3, texts_of)
    assert (len(entities), last) == (1, rows[1])
    entities, last = gather_page(rows[2:], 3, texts_of)
    assert (len(entities), last) == (1, None)


def test_little_more_is_loaded_than_the_page_holds() -> None:
    loaded = 0

    def load(rows: Sequence[Row]) -> list[str]:
        nonlocal loaded
        loaded += sum(row[1] for row in rows)
        return texts_of(rows)

    gather_page(rows_of_sizes(*[100_000] * 5_001), 5_000, load)
    assert loaded < MAX_PAGE_BYTES * 1.1
