"""From figures to tables: `python -m benchmarks.report results.json` prints them, `--readme FILE` puts them there."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

BASELINE = "runnel"
START, END = "<!-- results -->", "<!-- end of results -->"
NOTHING = "–"


def ratio(ours: Figure | None, theirs: Figure | None) -> float | None:
    """How many times better `ours` is: 3 is three times the rate, or a third of the time or memory.

    None where either figure is missing or must not be compared.
    """
    if ours is None or theirs is None or not (ours.comparable and theirs.comparable):
        return None
    assert ours.value is not None and theirs.value is not None
    return theirs.value / ours.value if ours.lower_is_better else ours.value / theirs.value


def number(value: float) -> str:
    """Three significant digits, whole numbers from 100 on, thousands separated."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.995 else f"{value:.3f}"


def render(results: dict[str, Any]) -> str:
    """The results as Markdown: what was measured where, the table of figures and ratios, the table of latencies."""
    figures = [Figure.from_json(data) for data in results["figures"]]
    servers = [name for name in results["servers"] if any(figure.server == name for figure in figures)]
    notes = Notes()
    parts = [_preface(results), _figure_table(figures, servers, notes), _latency_table(figures, servers)]
    if notes.texts:
        parts.insert(2, "\n".join(f"{count}. {text}" for count, text in enumerate(notes.texts, 1)))
    return "\n\n".join(part for part in parts if part)


def into_readme(readme: str, rendered: str) -> str:
    """The README's text with the part between the two marks replaced."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the file needs the marks {START!r} and {END!r}")
    return f"{before}{START}\n{rendered}\n{END}{after}"


class Notes:
    """Remarks under the table, each numbered once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """The mark that points to the remark, such as ` (2)`, or nothing for no remark."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" ({self.texts.index(text) + 1})"


def _figure_table(figures: list[Figure], servers: list[str], notes: Notes) -> str:
    found = {(figure.row, figure.server): figure for figure in figures}
    peers = [name for name in servers if name != BASELINE] if BASELINE in servers else []
    header = ["scenario", "clients", "unit", *servers, *(f"{BASELINE} / {peer}" for peer in peers)]
    lines = []
    for row in _rows(figures):
        of_row = [figure for figure in figures if figure.row == row]
        cells = [row[1], str(row[2] or ""), next((figure.unit for figure in of_row if figure.unit), "")]
        cells += [_cell(found.get((row, name)), notes) for name in servers]
        ratios = [ratio(found.get((row, BASELINE)), found.get((row, peer))) for peer in peers]
        cells += [NOTHING if value is None else f"{number(value)}×" for value in ratios]
        lines.append(cells)
    return _table(header, lines, left=1)


def _latency_table(figures: list[Figure], servers: list[str]) -> str:
    found = {(figure.row, figure.server): figure for figure in figures if figure.p50_ms is not None}
    rows = _rows(list(found.values()))
    lines = []
    for row in rows:
        cells = [row[1], str(row[2] or "")]
        for name in servers:
            figure = found.get((row, name))
            if figure is None or figure.p50_ms is None or figure.p99_ms is None or not figure.requests:
                cells.append(NOTHING)
            else:
                cells.append(f"{number(figure.p50_ms)} / {number(figure.p99_ms)}")
        lines.append(cells)
    if not lines:
        return ""
    return "Latency, median / 99th percentile, in ms:\n\n" + _table(["scenario", "clients", *servers], lines, left=1)


def _rows(figures: list[Figure]) -> list[tuple[str, str, int | None]]:
    """The rows in the order of their first figure, those of one scenario together."""
    scenarios = list(dict.fromkeys(figure.scenario for figure in figures))
    rows = dict.fromkeys(figure.row for figure in figures)
    return sorted(rows, key=lambda row: scenarios.index(row[0]))


def _cell(figure: Figure | None, notes: Notes) -> str:
    if figure is None:
        return NOTHING
    value = NOTHING if figure.value is None else number(figure.value)
    if figure.invalid and figure.value is not None:
        value = f"~~{value}~~"
    invalid = f"{figure.server}: {figure.invalid}" if figure.invalid else ""
    note = f"{figure.server}: {figure.note}" if figure.note else ""
    return value + notes.mark(note) + notes.mark(invalid)


def _preface(results: dict[str, Any]) -> str:
    machine, settings = results["machine"], results["settings"]
    lines = [
        f"Measured {results['date'][:10]} on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB, {machine['system']}. A ratio says how many times better {BASELINE} is: "
        "3× is three times the rate, or a third of the time or memory. A figure struck out is not compared.",
        "",
    ]
    if settings["quick"]:
        lines[:0] = [
            "**Quick mode: small sizes and short loops; these figures only show that the benchmark works.**",
            "",
        ]
    for name, server in results["servers"].items():
        store = "SQLite" if server["store"] == "sqlite" else "a given database"
        lines.append(f"- {name} {server['version']}, {store}; other work took {server['busy_before']:.0%} of the cores")
    return "\n".join(lines)


def _table(header: list[str], lines: list[list[str]], left: int) -> str:
    """A Markdown table whose columns are also aligned as plain text; all but the first `left` are right-aligned."""
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]

    def row(cells: list[str]) -> str:
        padded = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([row(header), row(rule), *(row(line) for line in lines)])


def main() -> int:
    """Print the tables of a results file, or put them into a README between its marks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--readme", type=Path, help="the file whose part between the marks is replaced")
    options = parser.parse_args()
    rendered = render(json.loads(options.results.read_text()))
    if options.readme:
        options.readme.write_text(into_readme(options.readme.read_text(), rendered))
    else:
        print(rendered)
    return 0


if __name__ == "__main__":
    sys.exit(main())
