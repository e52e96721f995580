"""TLS, users and tokens on real servers: right credentials work end to end, wrong ones are named, none is shown."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from billing.config import BillingConfig, load_config
from billing.connections import make_reader, make_sender, make_state, reach_kafka, reach_redis
from engine import ConfigError, Message, Secret
from engine.adapters.clock import SystemClock
from engine.adapters.kafka import (
    Bearer,
    KafkaLog,
    KafkaSecurity,
    KafkaSender,
    Login,
    LogReader,
    Tls,
    TopicSpec,
    ensure_topics,
    token_from_command,
    token_from_file,
)
from engine.embedded import apache
from engine.embedded.process import free_port
from engine.embedded.redis import EmbeddedRedis
from tests.integration.certificates import GOODBYE_S, HOST, Authority, tls_relay
from tests.integration.secured import (
    PASSWORD,
    USER,
    WRONG,
    Secured,
    secured_kafka,
    shown,
    token,
)


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Secured]:
    missing = apache.available()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"Apache Kafka cannot be started: {missing}")
    with secured_kafka(authority) as made:
        yield made


pytestmark = pytest.mark.usefixtures("nothing_is_shown")


class Assigned:
    """A listener that knows when its partitions came."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Nothing to let go."""

    async def assigned(self, partitions: frozenset[int]) -> None:
        if partitions:
            self.came.set()


async def round_trip(bootstrap: str, security: KafkaSecurity, topic: str) -> None:
    """Makes a topic, sends, reads without a group and as a member of one."""
    await ensure_topics(bootstrap, [TopicSpec(topic, 1)], security=security)
    sender = KafkaSender(bootstrap, security=security)
    reader = LogReader(bootstrap, topic=topic, security=security)
    log = KafkaLog(bootstrap, topic=topic, group=topic, session_s=6.0, rebalance_s=10.0, security=security)
    listener = Assigned()
    try:
        await sender.start()
        await sender.send([Message(topic, b"key", b"value")])
        await reader.start()
        reader.seek(0, 0)
        assert [event.value for event in (await reader.fetch(wait_s=10.0))[0]] == [b"value"]
        await log.start(listener)
        await asyncio.wait_for(listener.came.wait(), 10.0)
        await log.seek(0, 0)
        assert [event.value for event in (await log.fetch([0], events_max=1, wait_s=10.0))[0]] == [b"value"]
    finally:
        await log.stop()
        await reader.stop()
        await sender.stop()


async def reason_of_waiting(start: Callable[[Callable[[str], None]], Awaitable[object]]) -> str:
    """What is said first, by something that waits as long as it takes."""
    said: asyncio.Queue[str] = asyncio.Queue(maxsize=1_000)
    waiting = asyncio.ensure_future(start(said.put_nowait))
    try:
        return await asyncio.wait_for(said.get(), 20.0)
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(GOODBYE_S)


# -------------------------------------------------------------------- Kafka
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_with_a_password(secured: Secured, new_name: Callable[[str], str], mechanism: str) -> None:
    await round_trip(secured.at("PASSWORDS"), secured.login(mechanism), new_name("password"))


async def test_a_password_without_encryption(secured: Secured, new_name: Callable[[str], str]) -> None:
    security = KafkaSecurity(sasl=Login(USER, Secret(PASSWORD), "PLAIN"))
    await round_trip(secured.at("CLEAR"), security, new_name("clear"))


async def test_a_client_certificate(secured: Secured, new_name: Callable[[str], str]) -> None:
    certificate, key = secured.client
    tls = Tls(ca_file=secured.authority.ca_file, certificate_file=certificate, key_file=key)
    await round_trip(secured.at("CERTIFIED"), KafkaSecurity(tls=tls), new_name("certified"))


async def test_tokens_from_a_file_and_from_a_command(
    secured: Secured, new_name: Callable[[str], str], tmp_path: Path
) -> None:
    """The command runs once for many connections; a token that ends is asked for again."""
    file, calls = tmp_path / "token", tmp_path / "calls"
    file.write_text(token() + "\n")
    from_file = KafkaSecurity(tls=secured.tls, sasl=Bearer(token_from_file(file)))
    await round_trip(secured.at("TOKENS"), from_file, new_name("token"))
    script = f"open({str(calls)!r}, 'a').write('x'); print(open({str(file)!r}).read())"
    source = token_from_command([sys.executable, "-c", script], SystemClock())
    from_command = KafkaSecurity(tls=secured.tls, sasl=Bearer(source))
    await round_trip(secured.at("TOKENS"), from_command, new_name("token"))
    assert calls.read_text() == "x"
    file.write_text(token(lasts_s=5))
    short = token_from_command([sys.executable, "-c", script], SystemClock())
    await short()
    await short()
    assert calls.read_text() == "xxx"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_said(secured: Secured, mechanism: str) -> None:
    bootstrap, security = secured.at("PASSWORDS"), secured.login(mechanism, WRONG)
    reason = await reason_of_waiting(lambda say: KafkaSender(bootstrap, security=security, waiting=say).start())
    assert "SaslAuthenticationFailed" in reason
    assert "nvalid" in reason
    assert not shown(reason + repr(security))


async def test_an_unknown_mechanism_is_said(secured: Secured) -> None:
    security = secured.login("SCRAM-SHA-512")
    reason = await reason_of_waiting(
        lambda say: LogReader(secured.at("TOKENS"), topic="t", security=security, waiting=say).start()
    )
    assert "UnsupportedSaslMechanism" in reason


async def test_a_server_that_is_not_trusted_is_said(secured: Secured, strangers: Authority) -> None:
    bootstrap, security = secured.at("PASSWORDS"), KafkaSecurity(tls=Tls(ca_file=strangers.ca_file))
    reason = await reason_of_waiting(
        lambda say: ensure_topics(bootstrap, [TopicSpec("t", 1)], security=security, waiting=say)
    )
    assert "certificate verify failed" in reason


async def test_a_missing_client_certificate_is_said(secured: Secured) -> None:
    bootstrap, security = secured.at("CERTIFIED"), KafkaSecurity(tls=secured.tls)
    reason = await reason_of_waiting(
        lambda say: KafkaLog(bootstrap, topic="t", group="g", security=security, waiting=say).start(Assigned())
    )
    assert bootstrap in reason


async def test_tokens_that_cannot_be_had_or_have_ended_are_said(secured: Secured, tmp_path: Path) -> None:
    expired = tmp_path / "expired"
    expired.write_text(token(lasts_s=-60))
    failing = token_from_command([sys.executable, "-c", "import sys; print('x'); sys.exit(3)"], SystemClock())
    for source, expected in (
        (token_from_file(tmp_path / "none"), "none cannot be read: No such file"),
        (token_from_file(expired), "the token was refused: invalid_token"),
        (failing, "ended with 3"),
    ):
        security = KafkaSecurity(tls=secured.tls, sasl=Bearer(source))
        reason = await reason_of_waiting(
            lambda say, security=security: KafkaSender(  # type: ignore[misc]
                secured.at("TOKENS"), security=security, waiting=say
            ).start()
        )
        assert expected in reason
        assert not shown(reason)


# -------------------------------------------------------------------- settings
@asynccontextmanager
async def reached(config: BillingConfig) -> AsyncIterator[list[str]]:
    """Both servers by their settings, as every process of billing reaches them, and one message through."""
    said: list[str] = []
    state = make_state(config)
    try:
        await reach_redis(state, config, said.append)
        capabilities, _ = await reach_kafka(config, said.append)
        assert capabilities.idempotent_producer
        sender = make_sender(config, capabilities, said.append)
        await sender.start()
        await sender.send([Message(config.topic, b"k", b"v")])
        await sender.stop()
        reader = make_reader(config, config.topic, said.append)
        await reader.start()
        assert sum([await reader.end(partition) for partition in reader.partitions]) == 1
        await reader.stop()
        yield said
    finally:
        await state.close()


async def test_billing_by_its_settings(
    secured: Secured,
    authority: Authority,
    guarded: EmbeddedRedis,
    certified: Tls,
    new_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    name = new_name("settings")
    async with tls_relay(authority, guarded.port) as port:
        environment = {
            "BILLING_KAFKA": secured.at("PASSWORDS"),
            "BILLING_KAFKA_PROTOCOL": "sasl_tls",
            "BILLING_KAFKA_CA_FILE": str(authority.ca_file),
            "BILLING_KAFKA_SASL_MECHANISM": "scram-sha-512",
            "BILLING_KAFKA_USERNAME": USER,
            "BILLING_KAFKA_PASSWORD_FILE": str(secret),
            "BILLING_REDIS": f"rediss://{HOST}:{port}",
            "BILLING_REDIS_USERNAME": USER,
            "BILLING_REDIS_PASSWORD": PASSWORD,
            "BILLING_REDIS_CA_FILE": str(authority.ca_file),
            "BILLING_REDIS_CERTIFICATE_FILE": str(certified.certificate_file),
            "BILLING_REDIS_KEY_FILE": str(certified.key_file),
            "BILLING_TOPIC": name,
            "BILLING_FACTS_TOPIC": f"{name}-facts",
            "BILLING_ALERTS_TOPIC": f"{name}-alerts",
            "BILLING_PARTITIONS": "1",
        }
        config = load_config(environment)
        async with reached(config) as said:
            assert said == []
        assert not shown(repr(config) + str(config))


async def test_processes_with_wrong_passwords_say_so_and_show_none(
    secured: Secured, authority: Authority, guarded: EmbeddedRedis, new_name: Callable[[str], str], tmp_path: Path
) -> None:
    """The API lives and names both servers at /readyz; a worker waits."""
    name, port = new_name("wrong"), free_port()
    environment = {
        "BILLING_KAFKA": secured.at("PASSWORDS"),
        "BILLING_KAFKA_PROTOCOL": "sasl_tls",
        "BILLING_KAFKA_CA_FILE": str(authority.ca_file),
        "BILLING_KAFKA_SASL_MECHANISM": "PLAIN",
        "BILLING_KAFKA_USERNAME": USER,
        "BILLING_KAFKA_PASSWORD": WRONG,
        "BILLING_REDIS": f"redis://{USER}:{WRONG}@{HOST}:{guarded.port}",
        "BILLING_TOPIC": name,
        "BILLING_API_PORT": str(port),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        started = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "billing", command), env=os.environ | environment, stdout=output, stderr=output
            )
            for command in ("api", "worker")
        ]
        try:
            body, metrics = await _readiness(port)
            while log.read_text().count("SaslAuthenticationFailed") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        finally:
            for process in started:
                process.terminate()
            codes = [await process.wait() for process in started]
    assert codes == [0, 0]
    assert "invalid username-password pair" in body
    assert "SaslAuthenticationFailed" in body
    assert not shown(body + metrics + log.read_text())


async def _readiness(port: int) -> tuple[str, str]:
    """What /readyz says once it names both reasons, and what /metrics says."""
    async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=10.0) as client:
        while True:
            try:
                body = (await client.get("/readyz")).text
                if "SaslAuthenticationFailed" in body and "username-password" in body:
                    return body, (await client.get("/metrics")).text
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(0.1)


def test_files_that_cannot_be_used_are_found_before_anything_is_reached(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    environment = {
        "BILLING_KAFKA": f"{HOST}:1",
        "BILLING_KAFKA_PROTOCOL": "SSL",
        "BILLING_KAFKA_CA_FILE": str(file),
        "BILLING_REDIS": f"rediss://{HOST}:1",
        "BILLING_REDIS_CERTIFICATE_FILE": str(tmp_path / "none.pem"),
    }
    with pytest.raises(ConfigError) as caught:
        load_config(environment)
    assert len(caught.value.problems) == 2
    assert "ca.pem cannot be used" in caught.value.problems[0]
    assert "No such file" in caught.value.problems[1]
