package peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Time, processor time of this process and that of the broker between two moments, as the kernel counts it. */
final class Stopwatch {
    private static final double TICK_SECONDS = 0.01;

    private record Moment(long nanos, double cpuSeconds, double brokerCpuSeconds) {}

    private final int brokerPid;
    private volatile Moment start;
    private volatile Moment end;

    Stopwatch(int brokerPid) {
        this.brokerPid = brokerPid;
    }

    void start() {
        start = now();
    }

    void stop() {
        end = now();
    }

    /** The members of the line that it knows; all 0 where the span did not end. */
    String members() {
        Moment from = start;
        Moment to = end;
        if (from == null || to == null) {
            return "\"seconds\": 0, \"cpu_s\": 0, \"broker_cpu_s\": 0, \"state_cpu_s\": 0";
        }
        return String.format(
                java.util.Locale.ROOT,
                "\"seconds\": %.6f, \"cpu_s\": %.3f, \"broker_cpu_s\": %.3f, \"state_cpu_s\": 0",
                (to.nanos - from.nanos) / 1e9,
                to.cpuSeconds - from.cpuSeconds,
                to.brokerCpuSeconds - from.brokerCpuSeconds);
    }

    private Moment now() {
        return new Moment(System.nanoTime(), cpuSeconds("self"), brokerPid == 0 ? 0 : cpuSeconds("" + brokerPid));
    }

    static double cpuSeconds(String process) {
        String stat = read("/proc/" + process + "/stat");
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) * TICK_SECONDS;
    }

    /** The most memory that this process ever had resident. */
    static long rssPeakBytes() {
        for (String line : read("/proc/self/status").split("\n")) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
            }
        }
        return 0;
    }

    private static String read(String path) {
        try {
            return Files.readString(Path.of(path));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
