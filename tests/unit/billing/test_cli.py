"""What the commands take, say and answer, as far as it needs no servers."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from billing.cli import main
from billing.send import Sent

HINTS = {"BILLING_KAFKA": "BILLING_KAFKA=localhost:9092", "BILLING_REDIS": "BILLING_REDIS=redis://localhost:6379"}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HINTS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (("worker",), ("BILLING_KAFKA", "BILLING_REDIS")),
        (("api",), ("BILLING_KAFKA", "BILLING_REDIS")),
        (("audit",), ("BILLING_KAFKA", "BILLING_REDIS")),
        (("catalog", "show"), ("BILLING_KAFKA",)),
        (("catalog", "apply", "catalog.toml"), ("BILLING_KAFKA",)),
    ],
)
def test_a_command_without_servers_says_what_to_set(
    command: tuple[str, ...], names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(names)
    for line, name in zip(said, names, strict=True):
        assert line.startswith(f"billing: {name} is not set")
        assert HINTS[name] in line


def test_settings_come_from_the_named_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "billing.toml"
    settings.write_text('[billing]\nkafka = "127.0.0.1:1"\n[engine]\nwhat = 1\n')
    assert run("worker", "--config", str(settings)) == 2
    said = capsys.readouterr().err
    assert "ENGINE_WHAT is not a setting" in said
    assert "BILLING_KAFKA is not set" not in said
    assert run("worker", "--config", str(tmp_path / "none.toml")) == 2
    assert "none.toml: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("from_stdin", [False, True])
def test_send_takes_a_file_or_the_standard_input(
    from_stdin: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: list[bytes] = []

    def send_file(stream: IO[bytes], url: str, report: Callable[[str], None]) -> Sent:
        read.append(stream.read())
        return Sent(accepted=1)

    monkeypatch.setattr("billing.send.send_file", send_file)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"{}\n")))
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"{}\n")
    assert run("send", "-" if from_stdin else str(path)) == 0
    assert read == [b"{}\n"]
    assert "1 accepted, 0 refused" in capsys.readouterr().err


def test_what_is_no_command_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("nonsense",), ("worker", "more"), ("price",), ("send",), ("send", "a", "b")):
        assert run(*arguments) == 2, arguments
