package peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams, exactly once: one thread, two stores with changelogs, in memory or in RocksDB. */
final class Totals {
    private static final Duration CLOSED = Duration.ofSeconds(20);

    public static void main(String[] arguments) throws Exception {
        Work work = Work.of(arguments);
        TokenTotals.Progress progress = new TokenTotals.Progress(work);
        KafkaStreams streams = new KafkaStreams(topology(work, progress), settings(work));
        streams.start();
        if (progress.await()) {
            Commits.await(work); // until then a crash would undo what the stores show
        }
        List<String> cells = cells(streams);
        streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
                .withTimeout(CLOSED));
        System.out.println(line(work, progress, cells));
        System.exit(0); // whatever threads the library still has
    }

    private static Topology topology(Work work, TokenTotals.Progress progress) {
        boolean inMemory = work.others().get("store").equals("memory");
        return new Topology()
                .addSource("events", work.topic())
                .addProcessor("totals", () -> new TokenTotals(progress), "events")
                .addStateStore(store(TokenTotals.IDENTITIES, inMemory), "totals")
                .addStateStore(store(TokenTotals.CELLS, inMemory), "totals");
    }

    private static StoreBuilder<?> store(String name, boolean inMemory) {
        KeyValueBytesStoreSupplier supplier =
                inMemory ? Stores.inMemoryKeyValueStore(name) : Stores.persistentKeyValueStore(name);
        return Stores.keyValueStoreBuilder(supplier, Serdes.String(), Serdes.ByteArray())
                .withCachingEnabled()
                .withLoggingEnabled(Map.of());
    }

    private static Properties settings(Work work) {
        Properties settings = new Properties();
        settings.putAll(Map.of(
                StreamsConfig.APPLICATION_ID_CONFIG, work.group(),
                StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, work.bootstrap(),
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
                StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, work.others().get("commit_ms"),
                StreamsConfig.STATE_DIR_CONFIG, work.others().get("folder"),
                StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 256L << 20,
                StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1,
                StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000,
                StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class,
                StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class));
        settings.putAll(Map.of(
                StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest",
                StreamsConfig.consumerPrefix("max.poll.records"), 5_000,
                StreamsConfig.producerPrefix("batch.size"), 256 << 10,
                StreamsConfig.producerPrefix("linger.ms"), 100));
        return settings;
    }

    /** Every cell as a line of text, in their order. */
    private static List<String> cells(KafkaStreams streams) {
        var store = streams.store(StoreQueryParameters.fromNameAndType(
                TokenTotals.CELLS, QueryableStoreTypes.<String, byte[]>keyValueStore()));
        List<String> lines = new ArrayList<>();
        try (var all = store.all()) {
            all.forEachRemaining(cell -> {
                ByteBuffer held = ByteBuffer.wrap(cell.value);
                lines.add(cell.key + '\t' + held.getLong() + '\t' + held.getLong());
            });
        }
        Collections.sort(lines);
        return lines;
    }

    private static String line(Work work, TokenTotals.Progress progress, List<String> cells) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        for (String cell : cells) {
            digest.update((cell + '\n').getBytes(StandardCharsets.UTF_8));
        }
        return String.format(
                "{\"events\": %d, \"span_events\": %d, %s, \"lost\": %d, \"doubled\": %d, \"order_violations\": %d, "
                        + "\"rss_bytes\": %d, \"cells\": %d, \"digest\": \"%s\"}",
                work.events(),
                work.events() - work.warmEvents(),
                progress.watch.members(),
                work.events() - progress.done + progress.doubled,
                progress.doubled,
                progress.orderViolations,
                Stopwatch.rssPeakBytes(),
                cells.size(),
                HexFormat.of().formatHex(digest.digest()));
    }
}
