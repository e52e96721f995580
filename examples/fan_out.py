"""Fan-out: an order becomes one message for each of its lines, in a topic that is partitioned by product.

All lines are acknowledged before the order is done. After a crash an order may be sent again, never left out.
"""

import asyncio
import json
import os

from engine import Event, Message
from engine.run import run_handler


async def handle(event: Event) -> list[Message]:
    order = json.loads(event.value or b"")
    return [
        Message(
            "order-lines",
            key=line["product"].encode(),
            value=json.dumps({"order": order["id"], "line": number, **line}).encode(),
        )
        for number, line in enumerate(order["lines"])
    ]


if __name__ == "__main__":
    kafka = os.environ.get("KAFKA", "localhost:9092")
    asyncio.run(run_handler(handle, kafka=kafka, topic="orders", group="fan-out"))
