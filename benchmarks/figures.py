"""What a scenario measures: one figure, of one server, with the reason where there is none."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value. A figure with `invalid` set says why it must not be compared; it may then lack a value."""

    scenario: str
    server: str
    title: str
    unit: str
    value: float | None
    clients: int | None = None
    lower_is_better: bool = False
    p50_ms: float | None = None
    p99_ms: float | None = None
    requests: int | None = None
    errors: int = 0
    note: str = ""
    invalid: str = ""

    @property
    def row(self) -> tuple[str, str, int | None]:
        """The line of the table that this figure belongs to."""
        return (self.scenario, self.title, self.clients)

    @property
    def comparable(self) -> bool:
        """Whether a ratio may be built on this figure."""
        return self.value is not None and self.value > 0 and not self.invalid

    def as_json(self) -> dict[str, Any]:
        """The figure as it stands in results.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Figure":
        """The figure read back from results.json; fields of a later format are left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})
