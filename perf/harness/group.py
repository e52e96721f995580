"""What a group has committed, asked by somebody who is no member of it."""

from aiokafka import AIOKafkaConsumer, TopicPartition


async def committed_offsets(bootstrap: str, topic: str, group: str, partitions: int = 1) -> dict[int, int]:
    """By partition; 0 where nothing is committed. Raises KafkaError."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    await consumer.start()
    try:
        return {number: await consumer.committed(TopicPartition(topic, number)) or 0 for number in range(partitions)}
    finally:
        await consumer.stop()
