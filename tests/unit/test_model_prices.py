"""What calls of models cost by a list of prices in litellm's form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runnel.domain.model_prices import NO_PRICES, parse_model_prices
from runnel.domain.spans import COST, MODEL, MODEL_PROVIDER, TOKEN_USAGE

PRICES = {
    "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "GPT-x": {"input_cost_per_token": 2.0, "output_cost_per_token": 8.0, "litellm_provider": "openai", "mode": "chat"},
    "azure/gpt-x": {"input_cost_per_token": 3.0, "output_cost_per_token": 9.0},
    "free/gem": {"input_cost_per_token": 0, "output_cost_per_token": 0},
    "gemini/gem": {"input_cost_per_token": 1, "output_cost_per_token": 1},
    "cached": {
        "input_cost_per_token": 10,
        "output_cost_per_token": 1,
        "cache_read_input_token_cost": 1,
        "cache_creation_input_token_cost": 12,
        "cache_creation_input_token_cost_above_1hr": 20,
    },
    "picture": {"output_cost_per_image": 5},
}


def cost(model: Any, usage: Any, provider: str | None = None, **others: str) -> Any:
    attributes = {MODEL: json.dumps(model), TOKEN_USAGE: json.dumps(usage)} | others
    if provider is not None:
        attributes[MODEL_PROVIDER] = json.dumps(provider)
    found = parse_model_prices(json.dumps(PRICES)).cost_of(attributes)
    return None if found is None else json.loads(found)


def tokens(**counts: int) -> dict[str, int]:
    return {f"{name}_tokens": count for name, count in counts.items()}


@pytest.mark.parametrize(
    ("model", "provider", "total"),
    [
        ("gpt-x", None, 2 * 5 + 8),
        ("gpt-x", "openai", 2 * 5 + 8),
        ("gpt-x", "Azure", 3 * 5 + 9),
        ("azure/gpt-x", None, 3 * 5 + 9),
        ("azure/gpt-x", "azure", 3 * 5 + 9),
        ("elsewhere/gpt-x", None, 2 * 5 + 8),
        ("gem", "gcp.vertex.agent", 5 + 1),  # the first that does not give it away
        ("gem", "free", 0),
    ],
)
def test_the_price_of_the_provider_goes_before_that_of_the_name(model: str, provider: str | None, total: float) -> None:
    found = cost(model, tokens(input=5, output=1), provider)
    assert found["total_cost"] == total == found["input_cost"] + found["output_cost"]


@pytest.mark.parametrize(
    "model", ["unknown", "picture", "sample_spec", "gateway:/gpt-x", "endpoints:/gpt-x", "", 5, None]
)
def test_what_has_no_price_has_no_cost(model: Any) -> None:
    assert cost(model, tokens(input=5, output=1)) is None


@pytest.mark.parametrize("usage", [{}, tokens(input=0, output=0), tokens(total=9), "many", None])
def test_without_tokens_there_is_no_cost(usage: Any) -> None:
    assert cost("gpt-x", usage) is None


@pytest.mark.parametrize("sent", ['{"total_cost": 1}', "null"])
def test_a_cost_that_is_sent_is_not_worked_out(sent: str) -> None:
    assert cost("gpt-x", tokens(input=5, output=1), **{COST: sent}) is None


def test_cached_tokens_are_part_of_the_input_and_have_their_own_prices() -> None:
    usage = tokens(input=100, output=2, cache_read_input=50, cache_creation_input=30)
    usage["cache_creation_input_tokens_above_1hr"] = 10
    found = cost("cached", usage)
    assert found == {"input_cost": 20 * 10 + 50 * 1 + 20 * 12 + 10 * 20, "output_cost": 2, "total_cost": 692}


def test_without_prices_of_their_own_cached_tokens_cost_as_others_do() -> None:
    assert cost("gpt-x", tokens(input=100, cache_read_input=50, cache_creation_input=30))["input_cost"] == 200


def test_without_a_list_nothing_is_worked_out() -> None:
    assert NO_PRICES.cost_of({MODEL: '"gpt-x"', TOKEN_USAGE: json.dumps(tokens(input=1))}) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "it must be a JSON object"),
        ('{"m": 5}', "the prices of 'm' must be a JSON object"),
        ('{"m": {"input_cost_per_token": "1e-6"}}', "'input_cost_per_token' of 'm' must be a number of dollars"),
        ('{"m": {"output_cost_per_token": -1}}', "'output_cost_per_token' of 'm' must be a number of dollars"),
        ('{"m": {"output_cost_per_token": NaN}}', "'output_cost_per_token' of 'm' must be a number of dollars"),
        ("{}", "no model in it has"),
    ],
)
def test_a_list_that_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_model_prices(text)
