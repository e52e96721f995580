package peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Drops an event whose (source, id) is known, and adds its tokens to two cells: customer and model in the hour, and in
 * the month.
 *
 * <p>Duplicates carry the key of what they repeat, so no repartition is needed: the best case.
 */
final class TokenTotals implements Processor<String, byte[], Void, Void> {
    static final String IDENTITIES = "identities";
    static final String CELLS = "cells";
    private static final byte[] KNOWN = {1};
    private static final int HOUR_LETTERS = "2025-11-24T16".length();
    private static final int MONTH_LETTERS = "2025-11".length();

    /** What one run has processed; outlives the processor. */
    static final class Progress {
        final Work work;
        final Stopwatch watch;
        final CountDownLatch finished = new CountDownLatch(1);
        volatile int done;
        volatile int doubled;
        volatile int orderViolations;
        private long newest = -1;

        Progress(Work work) {
            this.work = work;
            watch = new Stopwatch(work.brokerPid());
        }

        @SuppressWarnings("NonAtomicOperationOnVolatileField") // one thread writes
        void processed(long offset) {
            if (offset <= newest) {
                doubled++;
            } else if (offset != newest + 1) {
                orderViolations++;
            }
            newest = offset;
            done++;
            if (done == work.warmEvents()) {
                watch.start();
            } else if (done == work.events() + doubled) {
                watch.stop();
                finished.countDown();
            }
        }

        /** Whether every event is processed before nothing has moved for too long. */
        boolean await() throws InterruptedException {
            int before = -1;
            double stillSeconds = 0;
            while (!finished.await(250, TimeUnit.MILLISECONDS) && stillSeconds < work.patienceSeconds(done)) {
                stillSeconds = done == before ? stillSeconds + 0.25 : 0;
                before = done;
            }
            return finished.getCount() == 0;
        }
    }

    private final Progress progress;
    private ProcessorContext<Void, Void> context;
    private KeyValueStore<String, byte[]> identities;
    private KeyValueStore<String, byte[]> cells;

    TokenTotals(Progress progress) {
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<Void, Void> given) {
        context = given;
        identities = given.getStateStore(IDENTITIES);
        cells = given.getStateStore(CELLS);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Usage usage;
        try {
            usage = Usage.of(record.value());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        if (identities.putIfAbsent(usage.source() + '\t' + usage.id(), KNOWN) == null) {
            add(record.key(), usage, HOUR_LETTERS);
            add(record.key(), usage, MONTH_LETTERS);
        }
        progress.processed(context.recordMetadata().orElseThrow().offset());
    }

    private void add(String customer, Usage usage, int letters) {
        String cell = customer + '\t' + usage.time().substring(0, letters) + '\t' + usage.model();
        byte[] before = cells.get(cell);
        long count = 1;
        long tokens = usage.tokens();
        if (before != null) {
            ByteBuffer held = ByteBuffer.wrap(before);
            count += held.getLong();
            tokens += held.getLong();
        }
        cells.put(cell, ByteBuffer.allocate(2 * Long.BYTES).putLong(count).putLong(tokens).array());
    }
}
