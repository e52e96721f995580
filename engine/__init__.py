"""keylane's engine: per-key lanes over Kafka partitions, and aggregates in Redis that count every event exactly once.

These names are the public ones. `engine/README.md` is the theory of operation.
"""

from engine.aggregate import Aggregate, Cell, Period, Reading, Series, Value, merge
from engine.config import LIVE, EngineConfig
from engine.errors import (
    ConfigError,
    EngineError,
    HandlerFailed,
    StateDamaged,
    StateError,
    StateLost,
    StateMismatch,
    Unanswered,
    Unsendable,
)
from engine.event import Counts, Dead, Effect, Event, Headers, Message, Totals
from engine.notice import Level, Notice, Tell, key_hash
from engine.ports import Clock, Committed, Log, OffsetOutOfRange, Sender, StateServer
from engine.processor import Answers, BatchHandler, Handler, Processor, Reacts, Waits
from engine.runtime.board import board_of
from engine.runtime.engine import Engine
from engine.runtime.producer import Producer
from engine.runtime.statistics import Statistics
from engine.secret import Secret
from engine.state.identity import bucket_of, digest_of, identity_of
from engine.state.reader import Account, KeyState, SliceProgress, SnapshotPart, StateReader
from engine.telemetry import Attributes, Metric, Observation, Silence, Telemetry

__all__ = [
    "LIVE",
    "Account",
    "Aggregate",
    "Answers",
    "Attributes",
    "BatchHandler",
    "Cell",
    "Clock",
    "Committed",
    "ConfigError",
    "Counts",
    "Dead",
    "Effect",
    "Engine",
    "EngineConfig",
    "EngineError",
    "Event",
    "Handler",
    "HandlerFailed",
    "Headers",
    "KeyState",
    "Level",
    "Log",
    "Message",
    "Metric",
    "Notice",
    "Observation",
    "OffsetOutOfRange",
    "Period",
    "Processor",
    "Producer",
    "Reacts",
    "Reading",
    "Secret",
    "Sender",
    "Series",
    "Silence",
    "SliceProgress",
    "SnapshotPart",
    "StateDamaged",
    "StateError",
    "StateLost",
    "StateMismatch",
    "StateReader",
    "StateServer",
    "Statistics",
    "Telemetry",
    "Tell",
    "Totals",
    "Unanswered",
    "Unsendable",
    "Value",
    "Waits",
    "board_of",
    "bucket_of",
    "digest_of",
    "identity_of",
    "key_hash",
    "merge",
]
