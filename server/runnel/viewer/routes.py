"""THE table of pages: one line per page. Twins in JSON and CSV follow from it."""

from __future__ import annotations

from runnel.viewer import compare, components, experiments, run, runs, search
from runnel.viewer.pages import PageRoute, page

PAGES: list[PageRoute] = [
    page("/", experiments.experiments_page),
    page("/experiments", experiments.experiments_page),  # whose twins are experiments.json and experiments.csv
    page("/experiments/{experiment_id}", runs.runs_page),
    page("/experiments/{experiment_id}/compare", compare.compare_page),
    page("/runs/{run_id}", run.run_page),
    page("/search", search.search_page),
]

# For those who work on the pages: see --viewer-components.
COMPONENTS: list[PageRoute] = [page("/components", components.components_page)]
