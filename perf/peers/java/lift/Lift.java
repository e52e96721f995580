package peers;

import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import io.confluent.parallelconsumer.PollContext;
import io.confluent.parallelconsumer.vertx.VertxParallelEoSStreamProcessor;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.ext.web.client.WebClient;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Confluent's Parallel Consumer: with threads that sleep, or with timers of Vert.x, which need no thread each.
 *
 * <p>Commits twice a second: with the default of five, what is done beyond the watermark outgrows the metadata of a
 * commit, and the partition stands still for seconds.
 */
final class Lift {
    private static final Duration COMMIT_INTERVAL = Duration.ofMillis(500);
    private static final int BUFFER = 20_000;

    public static void main(String[] arguments) throws Exception {
        Work work = Work.of(arguments);
        Tally tally = new Tally(work);
        switch (work.others().get("kind")) {
            case "threads" -> threads(work, tally);
            case "vertx" -> vertx(work, tally);
            default -> throw new IllegalArgumentException("kind is " + work.others() + ": threads or vertx");
        }
        System.out.println(tally.line());
        System.exit(0); // whatever threads a library still has
    }

    private static void threads(Work work, Tally tally) throws Exception {
        var processor = ParallelStreamProcessor.createEosStreamProcessor(options(work));
        processor.subscribe(List.of(work.topic()));
        processor.poll(context -> {
            begin(tally, context);
            try {
                Thread.sleep(work.waitMs());
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                return;
            }
            tally.end(context.key(), context.offset());
        });
        if (tally.await()) {
            Commits.await(work);
        }
        processor.closeDrainFirst();
    }

    private static void vertx(Work work, Tally tally) throws Exception {
        Vertx vertx = Vertx.vertx();
        var processor =
                new VertxParallelEoSStreamProcessor<String, byte[]>(vertx, WebClient.create(vertx), options(work));
        processor.subscribe(List.of(work.topic()));
        processor.vertxFuture(context -> {
            String key = context.key();
            long offset = context.offset();
            begin(tally, context);
            Promise<Void> answered = Promise.promise();
            vertx.setTimer(work.waitMs(), timer -> {
                tally.end(key, offset);
                answered.complete();
            });
            return answered.future();
        });
        if (tally.await()) {
            Commits.await(work);
        }
        processor.closeDrainFirst();
    }

    private static void begin(Tally tally, PollContext<String, byte[]> context) {
        tally.begin(context.key(), context.offset());
        try {
            Usage.of(context.value());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static ParallelConsumerOptions<String, byte[]> options(Work work) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", work.bootstrap(),
                "group.id", work.group(),
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false,
                "max.poll.records", 5_000);
        var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer());
        return ParallelConsumerOptions.<String, byte[]>builder()
                .consumer(consumer)
                .ordering(ParallelConsumerOptions.ProcessingOrder.KEY)
                .maxConcurrency(work.concurrency())
                .commitMode(ParallelConsumerOptions.CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
                .commitInterval(COMMIT_INTERVAL)
                .messageBufferSize(BUFFER)
                .build();
    }
}
