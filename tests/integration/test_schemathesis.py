"""The running service against its own description: what the OpenAPI document allows is asked, and what it does not.

Schemathesis makes the requests (from the examples, from the bounds, by chance with a fixed seed) and checks every
answer: no failure of the server, only statuses, content types, headers and shapes that are described, and nothing
accepted that the description forbids. It runs as its own command, beside pytest.
"""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.embedded.redis import EmbeddedRedis
from tests.acceptance.harness import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = 1
TIME_MAX_S = 30
"""Then no further request is made."""
EVENTS = 40
CATALOG = {
    "version": 1,
    "defaults": {"plan": "basic", "currency": "USD", "time_zone": "UTC"},
    "meters": [
        {
            "name": "tokens",
            "event_type": "llm.tokens",
            "aggregation": "sum",
            "property": "data.tokens",
            "group_by": {"model": "data.model", "region": "data.region"},
        }
    ],
    "plans": [
        {"name": "basic", "rates": [{"name": "all", "meter": "tokens", "rate": {"model": "per_unit", "unit": "0.01"}}]}
    ],
    "customers": [{"id": "acme", "limit": "100.00", "thresholds": ["50%", "100%"]}],
}
SETTINGS = """
[generation]
max-examples = 40
database = "none"

[phases.stateful]
enabled = false

# More events than one request may hold are refused as too large.
[checks.negative_data_rejection]
expected-statuses = ["400", "404", "405", "406", "413", "415", "422", "429"]

# No schema says which meters a catalog has, which cursors were told, or on which edges windows fall: such a request is
# refused with 422 although its shape is right.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "404", "410", "422", "429"]

# It does not end by itself.
[[operations]]
include-path = "/v1/stream"
enabled = false
"""


def event(number: int) -> dict[str, object]:
    """Every tenth is a duplicate of the one before."""
    data = {"tokens": 500, "model": "m-large", "region": "eu"}
    identity = f"e-{number - (number % 10 == 9)}"
    return {
        "specversion": "1.0",
        "id": identity,
        "source": "test",
        "type": "llm.tokens",
        "subject": "acme",
        "data": data,
    }


async def test_the_service_keeps_to_its_description(
    kafka_embedded: str, new_name: Callable[[str], str], tmp_path: Path
) -> None:
    if importlib.util.find_spec("schemathesis") is None and not os.environ.get("CI"):
        pytest.skip("schemathesis is not installed")
    name = new_name("described")
    async with (
        EmbeddedRedis() as server,
        System(kafka=kafka_embedded, redis=server.url, name=name, catalog=CATALOG) as system,
    ):
        await system.start_all(workers=1)
        await system.post([event(number) for number in range(EVENTS)])
        await system.until_counted(EVENTS)
        code, output = await run_schemathesis(
            f"http://127.0.0.1:{system.environment['BILLING_API_PORT']}/openapi.json", tmp_path
        )
        print(output)
        assert code == 0, output
        system.check()
        alerts = await system.get("/v1/alerts", customer="acme")
        assert {alert["rule"] for alert in alerts["data"]} == {"50%", "100%"}
        code, found = await system.audit()
        assert (code, found["audit"]) == (0, "equal"), found


async def run_schemathesis(url: str, folder: Path) -> tuple[int, str]:
    """Exit code, and everything that it has to say."""
    settings = folder / "schemathesis.toml"
    settings.write_text(SETTINGS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", url),
        *("--seed", str(SEED), "--max-time", str(TIME_MAX_S), "--checks", "all", "--no-color"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")
