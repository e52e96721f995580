package peers;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Told of every event that a handler begins and ends, from any thread; see Tally in program.py.
 *
 * <p>Of each key it keeps the newest offset and whether it runs, in one number: an event is out of order when a later
 * one of its key has begun, or when another one still runs.
 */
final class Tally {
    private static final long NONE = -2;

    private final Work work;
    private final Stopwatch watch;
    private final AtomicIntegerArray seen;
    private final ConcurrentHashMap<String, AtomicLong> newest = new ConcurrentHashMap<>();
    private final AtomicInteger done = new AtomicInteger();
    private final AtomicInteger doubled = new AtomicInteger();
    private final AtomicInteger orderViolations = new AtomicInteger();
    private final CountDownLatch finished = new CountDownLatch(1);

    Tally(Work work) {
        this.work = work;
        watch = new Stopwatch(work.brokerPid());
        seen = new AtomicIntegerArray(work.events());
    }

    void begin(String key, long offset) {
        long before = newest.computeIfAbsent(key, unknown -> new AtomicLong(NONE)).getAndSet(2 * offset + 1);
        if ((before & 1) == 1 || before >= 2 * offset) {
            orderViolations.incrementAndGet();
        }
        if (seen.getAndIncrement((int) offset) > 0) {
            doubled.incrementAndGet();
        }
    }

    void end(String key, long offset) {
        newest.get(key).compareAndSet(2 * offset + 1, 2 * offset);
        int count = done.incrementAndGet();
        if (count == work.warmEvents()) {
            watch.start();
        } else if (count == work.events() + doubled.get()) {
            watch.stop();
            finished.countDown();
        }
    }

    /** Whether every event is done before nothing has moved for too long. */
    boolean await() throws InterruptedException {
        int before = -1;
        double stillSeconds = 0;
        while (!finished.await(250, TimeUnit.MILLISECONDS) && stillSeconds < work.patienceSeconds(done.get())) {
            stillSeconds = done.get() == before ? stillSeconds + 0.25 : 0;
            before = done.get();
        }
        return finished.getCount() == 0;
    }

    String line() {
        int lost = 0;
        for (int offset = 0; offset < work.events(); offset++) {
            lost += seen.get(offset) == 0 ? 1 : 0;
        }
        return String.format(
                "{\"events\": %d, \"span_events\": %d, %s, \"lost\": %d, \"doubled\": %d, \"order_violations\": %d, "
                        + "\"rss_bytes\": %d}",
                work.events(),
                work.events() - work.warmEvents(),
                watch.members(),
                lost,
                doubled.get(),
                orderViolations.get(),
                Stopwatch.rssPeakBytes());
    }
}
