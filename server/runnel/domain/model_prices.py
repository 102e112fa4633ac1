"""What calls of language models cost, by a list of prices that the operator gives.

The list is that of litellm (``model_prices_and_context_window.json``): an object from a model's name, often with its
provider in front (``azure/gpt-4o``), to its prices in dollars for one token. Runnel brings no prices of its own: they
change every week. As in MLflow, a cost that a client sends is kept, and the cached tokens are part of the input.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runnel.domain.spans import COST, MODEL, MODEL_PROVIDER, TOKEN_USAGE, decoded
from runnel.domain.traces import numbers_in

# Names of MLflow's gateway, not of models.
_NOT_MODELS = ("gateway:/", "endpoints:/")


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one token."""

    input: float
    output: float
    cache_read: float
    cache_creation: float
    cache_creation_above_1hr: float

    def cost(self, usage: Mapping[str, float]) -> dict[str, float]:
        """What tokens cost; those that were read from or written to a cache are among the input."""
        cached = usage.get("cache_read_input_tokens", 0)
        created = usage.get("cache_creation_input_tokens", 0)
        created_for_long = min(usage.get("cache_creation_input_tokens_above_1hr", 0), created)
        other = max(usage.get("input_tokens", 0) - cached - created, 0)
        input_cost = (
            other * self.input
            + cached * self.cache_read
            + (created - created_for_long) * self.cache_creation
            + created_for_long * self.cache_creation_above_1hr
        )
        output_cost = usage.get("output_tokens", 0) * self.output
        return {"input_cost": input_cost, "output_cost": output_cost, "total_cost": input_cost + output_cost}


class ModelPrices:
    """Prices by the names of models, in lower case."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = prices
        # Of a model that several providers have, the first that does not give it away.
        self._by_bare_name: dict[str, Price] = {}
        for name, price in sorted(prices.items(), key=lambda item: item[1].input == 0):
            self._by_bare_name.setdefault(name.partition("/")[2] or name, price)

    def __len__(self) -> int:
        return len(self._prices)

    def cost_of(self, attributes: Mapping[str, str]) -> str | None:
        """The cost of a span as JSON, by its attributes; None where it says its cost or no price is known."""
        if not self._prices or COST in attributes or MODEL not in attributes or TOKEN_USAGE not in attributes:
            return None
        usage = numbers_in(attributes[TOKEN_USAGE])
        model = decoded(attributes[MODEL])
        if not isinstance(model, str) or not (usage.get("input_tokens") or usage.get("output_tokens")):
            return None
        price = self._price(model, decoded(attributes.get(MODEL_PROVIDER)))
        return None if price is None else json.dumps(price.cost(usage))

    def _price(self, model: str, provider: Any) -> Price | None:
        """That of the provider, else of the very name, else of the name without its provider."""
        if model.startswith(_NOT_MODELS):
            return None
        model = model.lower()
        bare_name = model.partition("/")[2] or model
        if isinstance(provider, str) and (price := self._prices.get(f"{provider.lower()}/{bare_name}")) is not None:
            return price
        return self._prices.get(model) or self._by_bare_name.get(bare_name)


NO_PRICES = ModelPrices({})


def parse_model_prices(text: str | bytes) -> ModelPrices:
    """Prices from litellm's JSON; raises ValueError that says what is wrong. Models without these prices are passed."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError('it must be a JSON object, as {"gpt-4o": {"input_cost_per_token": 2.5e-06, ...}, ...}')
    prices: dict[str, Price] = {}
    for model, entry in document.items():
        if not isinstance(entry, dict):
            raise ValueError(f"the prices of '{model}' must be a JSON object")
        given = {key: _price(model, key, entry.get(key)) for key in _KEYS}
        input_price, output_price = given["input_cost_per_token"], given["output_cost_per_token"]
        if model == "sample_spec" or (input_price is None and output_price is None):
            continue
        input_price = input_price or 0.0
        creation = _else(given["cache_creation_input_token_cost"], input_price)
        prices[model.lower()] = Price(
            input=input_price,
            output=output_price or 0.0,
            cache_read=_else(given["cache_read_input_token_cost"], input_price),
            cache_creation=creation,
            cache_creation_above_1hr=_else(given["cache_creation_input_token_cost_above_1hr"], creation),
        )
    if not prices:
        raise ValueError("no model in it has 'input_cost_per_token' or 'output_cost_per_token'")
    return ModelPrices(prices)


_KEYS = (
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
)


def _price(model: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 <= value < 1e6:
        raise ValueError(f"'{key}' of '{model}' must be a number of dollars, not {value!r}")
    return float(value)


def _else(value: float | None, other: float) -> float:
    return other if value is None else value
