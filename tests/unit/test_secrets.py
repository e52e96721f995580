"""What must not be seen is not, and what cannot work is said without it."""

import pickle
from pathlib import Path

import pytest

from billing.config import BillingConfig, load_config
from billing.security import kafka_security
from engine import ConfigError, Secret
from engine.adapters.kafka import Bearer, Login
from engine.adapters.redis import RedisServer, places_of
from engine.secret import masked

HIDDEN = "hunter2"


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(HIDDEN)
    assert secret.reveal() == HIDDEN
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!s:>40}", repr([secret]), repr({"x": secret})):
        assert HIDDEN not in text
    assert secret == Secret(HIDDEN)
    assert hash(secret) == hash(Secret(HIDDEN))
    assert secret != Secret("other")
    assert secret
    assert not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:1/0", "redis://***@host:1/0"),
        ("rediss+cluster://:hunter2@host:1,other:2", "rediss+cluster://***@host:1,other:2"),
        ("redis://:hun/ter#2?x@host", "redis://***@host"),
        ("redis://hunter2/@host", "redis://***@host"),
        ("redis://host?password=hunter2&db=1", "redis://host?password=***&db=1"),
        ("cannot reach redis://:hunter2@host now", "cannot reach redis://***@host now"),
        ("redis://host:1/0", "redis://host:1/0"),
    ],
)
def test_urls_are_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/@host:1",  # redis-py names a piece of the password as a port that is none
        "redis://user:hunter2@host:port",
        "redis://user:hunter2@host:99999",
        "http://user:hunter2@host",
        "redis+cluster://user:hunter2@host:port",
        "redis+cluster://user:hunter2@",
        "redis+cluster://user:hunter2@host:1/3",
        "redis+cluster://user:hunter2/x@host:1",
        "rediss://user:hunter2@host?ssl_cert_reqs=none",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisServer(url)
    text = str(caught.value)
    for piece in ("hunter2", "hunter"):
        assert piece not in text
    assert caught.value.__cause__ is None


def test_places_that_a_url_names() -> None:
    assert places_of("redis+cluster://u:p%2F@a:1,b,[::1]:3/0") == [("a", 1), ("b", 6379), ("::1", 3)]
    assert places_of("rediss://:p@a:1/2") == [("a", 1)]
    assert places_of("redis://") == [("localhost", 6379)]
    assert places_of("unix:///run/redis.sock") == []


# -------------------------------------------------------------------- settings
PASSWORD = {"BILLING_KAFKA_SASL_MECHANISM": "PLAIN", "BILLING_KAFKA_USERNAME": "u", "BILLING_KAFKA_PASSWORD": HIDDEN}


def problems_of(**settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config({f"BILLING_{name}": value for name, value in settings.items()})
    assert HIDDEN not in str(caught.value)
    return list(caught.value.problems)


def test_how_kafka_is_spoken_to() -> None:
    assert kafka_security(BillingConfig()).tls is None
    assert kafka_security(BillingConfig()).sasl is None
    for protocol in ("sasl_tls", "SASL_SSL"):
        security = kafka_security(load_config({"BILLING_KAFKA_PROTOCOL": protocol} | PASSWORD))
        assert security.tls is not None
        assert security.sasl == Login("u", Secret(HIDDEN), "PLAIN")
    security = kafka_security(
        load_config(
            {
                "BILLING_KAFKA_PROTOCOL": "sasl_plaintext",
                "BILLING_KAFKA_SASL_MECHANISM": "oauthbearer",
                "BILLING_KAFKA_TOKEN_COMMAND": "get-token --for kafka",
            }
        )
    )
    assert security.tls is None
    assert isinstance(security.sasl, Bearer)


def test_a_password_from_a_file_but_certificates_by_their_paths(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "password").write_text(f"{HIDDEN}\n")
    settings = {
        "BILLING_REDIS": "redis://host",
        "BILLING_REDIS_USERNAME": "u",
        "BILLING_REDIS_PASSWORD_FILE": str(folder / "password"),
    }
    config = load_config(settings)
    assert config.redis_password.reveal() == HIDDEN
    assert HIDDEN not in repr(config)
    (problem,) = problems_of(KAFKA_PROTOCOL="tls", KAFKA_CA_FILE=str(folder / "none.pem"))
    assert "none.pem cannot be used: No such file" in problem
    (problem,) = problems_of(REDIS_PASSWORD_FILE=HIDDEN)  # what was meant for BILLING_REDIS_PASSWORD
    assert problem == "BILLING_REDIS_PASSWORD_FILE names a file that cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"KAFKA_PROTOCOL": "https"}, ["BILLING_KAFKA_PROTOCOL is 'https': must be plaintext, tls"]),
        ({"KAFKA_CA_FILE": "x"}, ["BILLING_KAFKA_CA_FILE is set, but BILLING_KAFKA_PROTOCOL is plaintext"]),
        (
            {"KAFKA_PROTOCOL": "tls", "KAFKA_PASSWORD": HIDDEN, "KAFKA_KEY_FILE": "x"},
            [
                "BILLING_KAFKA_KEY_FILE is set, but not BILLING_KAFKA_CERTIFICATE_FILE",
                "BILLING_KAFKA_PASSWORD is set, but BILLING_KAFKA_PROTOCOL is tls",
            ],
        ),
        ({"KAFKA_PROTOCOL": "sasl_tls"}, ["BILLING_KAFKA_SASL_MECHANISM is not set, but sasl_tls needs it"]),
        (
            {"KAFKA_PROTOCOL": "sasl_tls", "KAFKA_SASL_MECHANISM": "GSSAPI"},
            ["BILLING_KAFKA_SASL_MECHANISM is 'GSSAPI': must be PLAIN"],
        ),
        (
            {"KAFKA_PROTOCOL": "sasl_tls", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_TOKEN_FILE": "x"},
            [
                "BILLING_KAFKA_USERNAME is not set: PLAIN needs it",
                "BILLING_KAFKA_PASSWORD is not set: PLAIN needs it",
                "BILLING_KAFKA_TOKEN_FILE is set, but PLAIN takes no token",
            ],
        ),
        (
            {"KAFKA_PROTOCOL": "sasl_tls", "KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_USERNAME": "u"},
            [
                "BILLING_KAFKA_USERNAME is set, but OAUTHBEARER takes a token",
                "OAUTHBEARER needs one of BILLING_KAFKA_TOKEN_FILE and BILLING_KAFKA_TOKEN_COMMAND",
            ],
        ),
        (
            {"KAFKA_PROTOCOL": "sasl_tls", "KAFKA_SASL_MECHANISM": "OAUTHBEARER", "KAFKA_TOKEN_COMMAND": "a 'b"},
            ["BILLING_KAFKA_TOKEN_COMMAND: a quotation mark is not closed"],
        ),
        (
            {"REDIS": "redis://host", "REDIS_CA_FILE": "x"},
            ["BILLING_REDIS_CA_FILE is set, but BILLING_REDIS does not begin with rediss"],
        ),
        (
            {"REDIS": f"redis://u:{HIDDEN}@host", "REDIS_PASSWORD": HIDDEN},
            ["BILLING_REDIS_PASSWORD is set, but BILLING_REDIS says who we are already"],
        ),
        (
            {"REDIS": "redis://host", "REDIS_USERNAME": "u"},
            ["BILLING_REDIS_USERNAME is set, but not BILLING_REDIS_PASSWORD"],
        ),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, str], expected: list[str]) -> None:
    problems = problems_of(**settings)
    assert len(problems) == len(expected)
    for problem, beginning in zip(problems, expected, strict=True):
        assert problem.startswith(beginning)
