package peers;

import java.time.Duration;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicPartition;

/** Waits until the group's offset is at the end of the log: a library that is closed earlier may leave it uncommitted. */
final class Commits {
    private static final Duration WAIT_MAX = Duration.ofSeconds(20);

    private Commits() {}

    /** Returns when it is, or after WAIT_MAX: whoever asks the broker afterwards will see that it is not. */
    static void await(Work work) throws Exception {
        TopicPartition partition = new TopicPartition(work.topic(), 0);
        long end = System.nanoTime() + WAIT_MAX.toNanos();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", work.bootstrap()))) {
            while (System.nanoTime() < end) {
                var offsets = admin.listConsumerGroupOffsets(work.group()).partitionsToOffsetAndMetadata();
                var found = offsets.get().get(partition);
                if (found != null && found.offset() >= work.events()) {
                    return;
                }
                Thread.sleep(50);
            }
        }
    }
}
