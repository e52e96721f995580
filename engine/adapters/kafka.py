"""Kafka, by aiokafka: the ports `Log` and `Sender`, an ungrouped reader, topics and what a broker can do.

No other module outside this folder's `kafka_*.py` imports aiokafka.
"""

from engine.adapters.kafka_log import KafkaLog
from engine.adapters.kafka_probe import Capabilities, probe
from engine.adapters.kafka_reader import LogReader
from engine.adapters.kafka_sender import KafkaSender
from engine.adapters.kafka_topics import Topic, TopicSpec, add_partitions, ensure_topics

__all__ = [
    "Capabilities",
    "KafkaLog",
    "KafkaSender",
    "LogReader",
    "Topic",
    "TopicSpec",
    "add_partitions",
    "ensure_topics",
    "probe",
]
