"""Kafka, by aiokafka: the ports `Log` and `Sender`, an ungrouped reader, topics and what a broker can do.

No other module outside this folder's `kafka_*.py` imports aiokafka.
"""

from engine.adapters.kafka_log import KafkaLog
from engine.adapters.kafka_probe import Capabilities, knows_idempotence, probe
from engine.adapters.kafka_reader import LogReader
from engine.adapters.kafka_security import Bearer, KafkaSecurity, Login
from engine.adapters.kafka_sender import KafkaSender
from engine.adapters.kafka_token import token_from_command, token_from_file
from engine.adapters.kafka_topics import Topic, TopicSpec, add_partitions, ensure_topics, find_topic
from engine.adapters.tls import Tls

__all__ = [
    "Bearer",
    "Capabilities",
    "KafkaLog",
    "KafkaSecurity",
    "KafkaSender",
    "LogReader",
    "Login",
    "Tls",
    "Topic",
    "TopicSpec",
    "add_partitions",
    "ensure_topics",
    "find_topic",
    "knows_idempotence",
    "probe",
    "token_from_command",
    "token_from_file",
]
