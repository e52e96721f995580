from random import Random

from billing.last_audit import post_audit, read_audit
from engine.sim.server import SimulatedServer

REPORT = {"audit": "equal", "events": 5, "cells": 3, "differences": [], "reason": None}


async def test_the_last_audit_of_a_group_is_kept_for_the_dashboard() -> None:
    server = SimulatedServer(Random(1))
    assert await read_audit(server, "billing") is None
    await post_audit(server, "billing", REPORT, 1_800_000_000_000)
    await post_audit(server, "billing", REPORT | {"audit": "different"}, 1_800_000_060_000)
    await post_audit(server, "other", REPORT, 1_800_000_000_000)
    assert await read_audit(server, "billing") == {
        "audit": "different", "events": 5, "cells": 3, "time": "2027-01-15T08:01:00Z",
    }  # fmt: skip
