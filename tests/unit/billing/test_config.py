from pathlib import Path

import pytest

from billing.config import load_config
from engine import ConfigError


def test_defaults() -> None:
    config = load_config({})
    assert (config.topic, config.group, config.horizon_d, config.api_port) == ("usage-events", "billing", 34, 8080)
    assert (config.engine.topic, config.engine.group, config.engine.horizon_d) == ("usage-events", "billing", 34)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "billing.toml"
    file.write_text('BILLING_TOPIC = "a"\n[billing]\ngroup = "b"\nhorizon_d = 7\n[engine]\nbuckets = 8\n')
    config = load_config({"BILLING_TOPIC": "c", "ENGINE_BATCH_MAX": "9", "HOME": "elsewhere"}, file)
    assert (config.topic, config.group, config.horizon_d) == ("c", "b", 7)
    assert (config.engine.buckets, config.engine.batch_max, config.engine.horizon_d) == (8, 9, 7)


def test_given_values_win_over_everything() -> None:
    assert load_config({"BILLING_API_PORT": "1"}, api_port=0).api_port == 0


def test_a_secret_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("redis://:secret@host:1\n")
    config = load_config({"BILLING_REDIS_FILE": str(secret)})
    assert config.redis == "redis://:secret@host:1"
    assert "secret" not in repr(config)


def test_all_problems_at_once(tmp_path: Path) -> None:
    file = tmp_path / "billing.toml"
    file.write_text("colour = 1\n")
    environment = {
        "BILLING_TOPPIC": "x",
        "BILLING_PARTITIONS": "many",
        "ENGINE_COLOUR": "red",
        "ENGINE_TOPIC": "x",
        "BILLING_REDIS": "http://host",
        "BILLING_REDIS_FILE": "nowhere",
        "BILLING_KAFKA": "host",
    }
    with pytest.raises(ConfigError) as caught:
        load_config(environment, file)
    text = "\n".join(caught.value.problems)
    for part in (
        "colour is not a setting",
        "BILLING_TOPPIC is not a setting",
        "BILLING_PARTITIONS is 'many': must be a whole number",
        "ENGINE_COLOUR is not a setting",
        "ENGINE_TOPIC is not a setting here: set BILLING_TOPIC",
        "BILLING_REDIS must be a URL",
        "BILLING_REDIS and BILLING_REDIS_FILE are both set",
        "BILLING_KAFKA has 'host'",
    ):
        assert part in text


def test_what_a_command_needs_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"BILLING_HORIZON_D": "0"}, needs=("kafka", "redis"))
    text = "\n".join(caught.value.problems)
    assert "BILLING_KAFKA is not set" in text
    assert "BILLING_REDIS is not set" in text
    assert "BILLING_HORIZON_D is 0" in text


@pytest.mark.parametrize("content", ["= 1", "\xff"])
def test_a_file_that_is_not_toml(tmp_path: Path, content: str) -> None:
    file = tmp_path / "billing.toml"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config({}, file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config({}, tmp_path / "none.toml")


def test_retention_must_outlast_the_horizon() -> None:
    with pytest.raises(ConfigError, match="BILLING_RETENTION_D is 30"):
        load_config({"BILLING_RETENTION_D": "30"})


def test_automatic_concurrency() -> None:
    assert load_config({"ENGINE_CONCURRENCY": "auto"}).engine.concurrency == "auto"
