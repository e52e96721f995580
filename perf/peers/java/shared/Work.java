package peers;

import java.util.HashMap;
import java.util.Map;

/** What is to be done, as arguments name=value; see program.py. */
record Work(
        String bootstrap,
        String topic,
        String group,
        int events,
        int warmEvents,
        long waitMs,
        int concurrency,
        double idleSeconds,
        int brokerPid,
        Map<String, String> others) {

    private static final double START_SECONDS = 60;

    static Work of(String[] arguments) {
        Map<String, String> given = new HashMap<>();
        for (String argument : arguments) {
            int at = argument.indexOf('=');
            given.put(argument.substring(0, at), argument.substring(at + 1));
        }
        return new Work(
                given.remove("bootstrap"),
                given.remove("topic"),
                given.remove("group"),
                Integer.parseInt(given.remove("events")),
                Integer.parseInt(given.remove("warm_events")),
                Math.round(Double.parseDouble(given.remove("wait_s")) * 1000),
                Integer.parseInt(given.remove("concurrency")),
                Double.parseDouble(given.remove("idle_s")),
                Integer.parseInt(given.remove("broker_pid")),
                given);
    }

    /** How long nothing may move when so many events are done: starting may take longer than going on. */
    double patienceSeconds(int done) {
        return done > 0 ? idleSeconds : Math.max(START_SECONDS, idleSeconds);
    }
}
