"""A plain handler: one mail for each order, the orders of a customer one after the other.

It is called at least once an event: after a crash the last few are handled again.
"""

import asyncio
import json
import os

from engine import Event
from engine.run import run_handler


async def handle(event: Event) -> None:
    order = json.loads(event.value or b"null")  # what is no JSON raises: retried, and at last in the topic orders.dead
    await send_mail(to=(event.key or b"").decode(), subject=f"Your order {order['id']}")


async def send_mail(to: str, subject: str) -> None:
    await asyncio.sleep(0.01)  # a mail server would take longer, which holds up no other customer
    print(f"{to}: {subject}", flush=True)


if __name__ == "__main__":
    kafka = os.environ.get("KAFKA", "localhost:9092")
    asyncio.run(run_handler(handle, kafka=kafka, topic="orders", group="mailer", settings={"retry_max": 2}))
