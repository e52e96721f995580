"""The public trace of language model requests, as usage events, and what must come of them: a plain dictionary.

Nothing here knows how the system counts: sums are Python's, hours and months are `zoneinfo`'s, amounts are decimals.
"""

import csv
import os
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).parents[2]
FILES = {"code": "AzureLLMInferenceTrace_code.csv", "conv": "AzureLLMInferenceTrace_conv.csv"}
REQUESTS = 8_819 + 19_366
"""Of both files. Neither ends with a newline: whoever counts newlines finds two requests too few."""
CUSTOMERS = 120
LIMITED = 40
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York")
REGIONS = ("eu", "us")
PRICES = {"code": Decimal("0.00003"), "conv": Decimal("0.00005")}
COMPLETION_PRICE = Decimal("0.0001")
METERS: tuple[tuple[str, str, str | None], ...] = (
    ("prompt", "sum", "data.prompt_tokens"),
    ("completion", "sum", "data.completion_tokens"),
    ("requests", "count", None),
    ("largest", "max", "data.prompt_tokens"),
    ("smallest", "min", "data.prompt_tokens"),
    ("last", "latest", "data.completion_tokens"),
    ("mean", "average", "data.completion_tokens"),
    ("sizes", "unique", "data.prompt_tokens"),
)


def trace_folder() -> Path:
    return Path(os.environ.get("KEYLANE_TRACE_DIR") or ROOT.parent / "shared" / "data" / "azure-llm-2023")


def missing_trace() -> str | None:
    """Why the trace cannot be replayed here, or None."""
    folder = trace_folder()
    absent = [name for name in FILES.values() if not (folder / name).is_file()]
    return f"no trace: {', '.join(absent)} not in KEYLANE_TRACE_DIR" if absent else None


@dataclass(frozen=True, slots=True)
class Request:
    customer: str
    time: datetime
    prompt: int
    completion: int
    model: str
    region: str
    number: int

    def event(self) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": f"request-{self.number}",
            "source": "trace",
            "type": "llm.request",
            "subject": self.customer,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "data": {
                "prompt_tokens": self.prompt,
                "completion_tokens": self.completion,
                "model": self.model,
                "region": self.region,
            },
        }


def read_trace(now: datetime, seed: int = 4) -> list[Request]:
    """All requests in the order of their times, shifted so that the last one was two hours ago."""
    rows = []
    for model, name in FILES.items():
        with (trace_folder() / name).open(newline="") as file:
            for row in csv.DictReader(file):
                time = datetime.fromisoformat(row["TIMESTAMP"][:26]).replace(tzinfo=UTC)
                rows.append((time, model, int(row["ContextTokens"]), int(row["GeneratedTokens"])))
    rows.sort()
    shift = now - timedelta(hours=2) - rows[-1][0]
    shift = timedelta(seconds=round(shift.total_seconds()))
    chance = random.Random(seed)
    names = [f"customer-{rank}" for rank in range(CUSTOMERS)]
    weights = [1 / (rank + 1) ** 1.1 for rank in range(CUSTOMERS)]
    customers = chance.choices(names, weights, k=len(rows))
    return [
        Request(customer, time + shift, prompt, completion, model, chance.choice(REGIONS), number)
        for number, (customer, (time, model, prompt, completion)) in enumerate(zip(customers, rows, strict=True))
    ]


def zone_of(customer: str) -> str:
    return ZONES[int(customer.rpartition("-")[2]) % len(ZONES)]


def limit_of(customer: str) -> Decimal | None:
    rank = int(customer.rpartition("-")[2])
    return Decimal(40) if rank % 2 == 0 and rank < LIMITED else Decimal(2) if rank < LIMITED else None


def catalog() -> dict[str, Any]:
    meters = []
    for name, aggregation, property_ in METERS:
        meter: dict[str, Any] = {"name": name, "event_type": "llm.request", "aggregation": aggregation}
        if property_ is not None:
            meter["property"] = property_
        meters.append(meter | {"group_by": {"region": "data.region", "model": "data.model"}})
    rates: list[dict[str, Any]] = [
        {"name": model, "meter": "prompt", "match": {"model": model}, "rate": {"model": "per_unit", "unit": str(price)}}
        for model, price in PRICES.items()
    ]
    rates.append(
        {"name": "completion", "meter": "completion", "rate": {"model": "per_unit", "unit": str(COMPLETION_PRICE)}}
    )
    customers = []
    for rank in range(CUSTOMERS):
        name = f"customer-{rank}"
        entry: dict[str, Any] = {"id": name, "plan": "usage", "currency": "USD", "time_zone": zone_of(name)}
        if (limit := limit_of(name)) is not None:
            entry |= {"limit": f"{limit}", "thresholds": ["50%", "100%"]}
        customers.append(entry)
    return {"version": 1, "meters": meters, "plans": [{"name": "usage", "rates": rates}], "customers": customers}


Group = tuple[str, str]
"""Model, region."""


@dataclass(slots=True)
class Expected:
    """What must be there, as text: cells by hour, totals and lines by month, alerts."""

    cells: dict[tuple[str, str, datetime, Group], list[Request]] = field(default_factory=lambda: defaultdict(list))
    months: dict[tuple[str, str, str, Group], list[Request]] = field(default_factory=lambda: defaultdict(list))
    spend: dict[tuple[str, str], dict[str, Decimal]] = field(default_factory=dict)
    """(customer, month) -> line -> amount."""

    @property
    def alerts(self) -> set[tuple[str, str, str]]:
        """(customer, month, rule)."""
        found = set()
        for (customer, month), lines in self.spend.items():
            limit = limit_of(customer)
            for percent in (50, 100) if limit is not None else ():
                assert limit is not None
                if sum(lines.values()) >= limit * percent / 100:
                    found.add((customer, month, f"{percent}%"))
        return found


def expect(requests: Sequence[Request]) -> Expected:
    expected = Expected()
    tokens: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for request in requests:
        local = request.time.astimezone(ZoneInfo(zone_of(request.customer)))
        hour = local.replace(minute=0, second=0, microsecond=0)
        month = f"{local:%Y-%m}"
        group = (request.model, request.region)
        for meter, _, _ in METERS:
            expected.cells[request.customer, meter, hour.astimezone(UTC), group].append(request)
            expected.months[request.customer, meter, month, group].append(request)
        tokens[request.customer, month][request.model] += request.prompt
        tokens[request.customer, month]["completion"] += request.completion
    for place, by_line in tokens.items():
        amounts = {line: count * PRICES.get(line, COMPLETION_PRICE) for line, count in by_line.items()}
        cents = Decimal("0.01")
        expected.spend[place] = {line: amount.quantize(cents, ROUND_HALF_UP) for line, amount in amounts.items()}
    return expected


def figure(meter: str, requests: Sequence[Request]) -> Decimal:
    """What a meter says of these requests."""
    prompts = [request.prompt for request in requests]
    completions = [request.completion for request in requests]
    match meter:
        case "prompt":
            return Decimal(sum(prompts))
        case "completion":
            return Decimal(sum(completions))
        case "requests":
            return Decimal(len(requests))
        case "largest":
            return Decimal(max(prompts))
        case "smallest":
            return Decimal(min(prompts))
        case "last":
            return Decimal(max(requests, key=lambda request: (request.time, request.number)).completion)
        case "mean":
            return (Decimal(sum(completions)) / len(completions)).quantize(Decimal("1e-12"), ROUND_HALF_UP)
        case "sizes":
            return Decimal(len(set(prompts)))
        case _:
            raise AssertionError(meter)
