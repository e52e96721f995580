"""The demo's catalog: customers of a provider of language models, with limits that are reached while one watches."""

from typing import Any

from billing.load import EVENT_TYPE, Mixture, customer_names, zipf_shares

CUSTOMERS = 200
LIMITED = 30
"""So many of the heaviest customers have a limit."""
AMOUNT_PER_EVENT = 0.11
"""What an event costs on average, roughly: limits are set by it."""
REACHED_AFTER_S = (30, 12, 45, 8, 70, 20, 150, 35, 15, 400)
"""When a limited customer is to reach its limit, by rank, over and over."""
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu")
MODEL_PRICES = {"m-small": "0.00001", "m-medium": "0.00004", "m-large": "0.0001"}
COMPLETION_PRICES = {"m-small": "0.00003", "m-medium": "0.00012", "m-large": "0.0003"}


def demo_catalog(rate: float) -> dict[str, Any]:
    """The document of a catalog for a load of `rate` events a second."""
    names = customer_names(CUSTOMERS)
    shares = zipf_shares(CUSTOMERS, Mixture().zipf_exponent)
    return {
        "version": 1,
        "defaults": {"plan": "pay-as-you-go", "currency": "USD", "time_zone": "UTC"},
        "meters": [
            _meter("prompt tokens", "sum", "data.prompt_tokens"),
            _meter("completion tokens", "sum", "data.completion_tokens"),
            _meter("requests", "count", None),
        ],
        "plans": [_plan("pay-as-you-go"), _plan("business", "0.0001")],
        "customers": [_customer(rank, names[rank], _limit(rank, shares[rank] * rate)) for rank in range(CUSTOMERS)],
    }


def _meter(name: str, aggregation: str, property_: str | None) -> dict[str, Any]:
    meter: dict[str, Any] = {"name": name, "event_type": EVENT_TYPE, "aggregation": aggregation}
    if property_ is not None:
        meter["property"] = property_
    return meter | {"group_by": {"model": "data.model", "region": "data.region"}}


def _plan(name: str, request_price: str | None = None) -> dict[str, Any]:
    rates = [
        {"name": f"{meter}, {model}", "meter": meter, "match": {"model": model}, "rate": _per_unit(price)}
        for meter, prices in (("prompt tokens", MODEL_PRICES), ("completion tokens", COMPLETION_PRICES))
        for model, price in prices.items()
    ]
    if request_price is not None:
        rates.append({"name": "requests", "meter": "requests", "rate": _per_unit(request_price)})
    return {"name": name, "rates": rates}


def _per_unit(price: str) -> dict[str, str]:
    return {"model": "per_unit", "unit": price}


def _customer(rank: int, name: str, limit: str | None) -> dict[str, Any]:
    customer: dict[str, Any] = {
        "id": name,
        "plan": "business" if rank % 5 == 1 else "pay-as-you-go",
        "currency": "EUR" if rank % 4 == 2 else "USD",
        "time_zone": ZONES[rank % len(ZONES)],
    }
    if limit is not None:
        customer |= {"limit": limit, "thresholds": ["50%", "80%", "100%"]}
    return customer


def _limit(rank: int, rate: float) -> str | None:
    """An amount with two digits that a customer with this rate reaches when the demo wants it."""
    if rank >= LIMITED:
        return None
    amount = max(1.0, rate * AMOUNT_PER_EVENT * REACHED_AFTER_S[rank % len(REACHED_AFTER_S)])
    step = 10 ** max(0, len(str(int(amount))) - 2)
    return f"{round(amount / step) * step}.00"
