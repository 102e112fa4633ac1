"""How long the loops run and how much data they run over."""

from dataclasses import dataclass

CLIENTS = (1, 16)


@dataclass(frozen=True)
class Settings:
    """The full benchmark; `quick` is the same with small sizes, to see in minutes that everything works."""

    quick: bool = False
    seconds: int = 5
    warm_up_seconds: int = 1
    # A loop too slow for this many answers within `seconds` runs longer, to `longest_seconds` at most.
    fewest_answers: int = 20
    longest_seconds: int = 60
    # How often single actions (a start, a transfer, a client's run) are repeated; the figure is the median.
    repeats: int = 3
    few_runs: int = 5_000
    many_runs: int = 100_000
    few_traces: int = 5_000
    many_traces: int = 100_000
    models: int = 200
    versions_per_model: int = 20
    history_points: int = 100_000
    # A server that cannot take the data in this time is measured over what it took, and the table says so.
    seed_seconds: int = 600
    artifact_bytes: int = 200_000_000

    @classmethod
    def quick_check(cls) -> "Settings":
        """Small sizes: the figures show that the benchmark works, not how fast a server is."""
        return cls(
            quick=True, seconds=2, longest_seconds=10, fewest_answers=5, repeats=1, few_runs=500, many_runs=2_000,
            few_traces=500, many_traces=2_000, models=20, versions_per_model=5,
            history_points=10_000, seed_seconds=60, artifact_bytes=20_000_000,
        )  # fmt: skip
