"""compose.yaml against the Compose Specification and against what this program understands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from billing.config import load_config
from engine.embedded.apache import VERSION as KAFKA_TESTED

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = ("api", "worker")


def settings(service: str) -> dict[str, str]:
    environment: dict[str, str] = SERVICES[service]["environment"]
    return environment


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None, duration
    return int(match[1])


def test_it_follows_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec/compose-spec.json").read_text())
    Draft202012Validator.check_schema(schema)
    problems = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(COMPOSE)]
    assert problems == []


def test_the_schema_would_notice() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec/compose-spec.json").read_text())
    broken = {"services": {"api": {"image": "x", "helthcheck": {}}}}
    assert list(Draft202012Validator(schema).iter_errors(broken)) != []


@pytest.mark.parametrize("service", OWN)
def test_the_configuration_loader_knows_every_name(service: str) -> None:
    environment = settings(service)
    assert all(name.startswith(("BILLING_", "ENGINE_")) for name in environment)
    assert all(isinstance(value, str) for value in environment.values())
    config = load_config(environment, needs=("kafka", "redis"))
    assert config.kafka == "kafka:9092"
    assert config.redis == "redis://redis:6379"


def test_a_worker_is_given_the_time_to_drain() -> None:
    config = load_config(settings("worker"))
    assert config.engine.durability == "aof"
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= config.engine.drain_s + 10
    assert config.engine.drain_s < config.engine.session_s < config.engine.rebalance_s
    assert SERVICES["worker"]["deploy"]["replicas"] <= config.partitions
    assert "container_name" not in SERVICES["worker"], "a name of its own would keep it from scaling"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_bounded_and_watched(service: str) -> None:
    description = SERVICES[service]
    assert description["healthcheck"]["test"]
    assert set(description["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert description["cap_drop"] == ["ALL"]
    assert description["restart"] == "unless-stopped"
    assert "stop_grace_period" in description
    assert all(str(port).startswith("127.0.0.1:") for port in description.get("ports", []))
    if service in OWN:
        assert description["read_only"] is True
    else:
        assert description["user"] not in {"root", "0"}


def test_images_are_pinned() -> None:
    images = {name: description["image"] for name, description in SERVICES.items()}
    assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", image) for image in images.values()), (
        images
    )
    assert images["kafka"].startswith(f"apache/kafka:{KAFKA_TESTED}"), "what runs is what is tested"
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", bases[0])


def test_the_image_runs_as_a_user() -> None:
    final = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]
    users = re.findall(r"^USER (\S+)", final, re.MULTILINE)
    assert users == ["10001"]


def test_redis_keeps_what_it_was_given() -> None:
    command = SERVICES["redis"]["command"]
    given = {name: command[command.index(name) + 1] for name in ("--appendonly", "--maxmemory-policy")}
    assert given == {"--appendonly": "yes", "--maxmemory-policy": "noeviction"}


def test_volumes_are_declared_and_files_are_there() -> None:
    for description in SERVICES.values():
        for volume in description.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_file(), f"{source} is not in the project"
            else:
                assert source in COMPOSE["volumes"]
