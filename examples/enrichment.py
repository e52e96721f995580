"""Enrichment over HTTP: every order goes on with what a slow service knows of its customer.

Hundreds of questions are under way at once, but one a customer, so that the orders of a customer stay in their order.
`concurrency` finds by itself how many the service takes well. When the service is down, orders wait, and none is lost.
"""

import asyncio
import json
import os

import httpx

from engine import Event, Message
from engine.run import run_handler

SETTINGS = {"concurrency": "auto", "handler_timeout_s": 10, "retry_max": 20}


class Enrichment:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle(self, event: Event) -> list[Message]:
        """What is returned is acknowledged by Kafka before the order counts as done."""
        answer = await self._client.get(f"/customers/{(event.key or b'').decode()}")
        answer.raise_for_status()  # it raises: asked again with back-off, and meanwhile only this customer waits
        order = json.loads(event.value or b"") | {"customer": answer.json()}
        return [Message("orders-enriched", event.key, json.dumps(order).encode())]


async def main() -> None:
    async with httpx.AsyncClient(base_url=os.environ.get("SERVICE", "http://localhost:8000"), timeout=8) as client:
        await run_handler(
            Enrichment(client).handle,
            kafka=os.environ.get("KAFKA", "localhost:9092"),
            topic="orders",
            group="enrichment",
            settings=SETTINGS,
        )


if __name__ == "__main__":
    asyncio.run(main())
