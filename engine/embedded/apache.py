"""A real Apache Kafka on loopback: jars by Maven into a cache, brokers on free ports, data in a temporary folder.

For tests, measurements and `--kafka apache`. Needs Java 17 or later and Maven; nothing is installed.
"""

import base64
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.embedded.process import HOST, Daemon, EmbeddedServer, ServerFailed, Supervisor, answers, free_port

VERSION = "4.3.1"
JAVA_OLDEST = 17
HEAP_MB = 768
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a process that ends before an optimised program would be faster."""


class ApacheKafka(EmbeddedServer):
    """`bootstrap` (host:port,...) is valid after `start`. Node 1 is the controller too."""

    def __init__(
        self,
        *,
        brokers: int = 1,
        folder: Path | None = None,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
        format_options: Sequence[str] = (),
        quick: bool = False,
    ) -> None:
        """`port` is node 1's; `settings` are added to every broker's properties; `quick` starts sooner, serves slower.

        `listeners`: more of node 1, such as TLS://127.0.0.1:9093; their protocols go into `settings`. `format_options`:
        of the tool that formats the storage, such as users.
        """
        self._brokers = brokers
        self._folder = folder
        self._port = port
        self._settings = dict(settings or {})
        self._listeners = tuple(listeners)
        self._format_options = tuple(format_options)
        self._options = SHORT_LIVED if quick else ()
        self._supervisor: Supervisor | None = None
        self._daemons: list[Daemon] = []

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{daemon.port}" for daemon in self._daemons)

    @property
    def pids(self) -> Sequence[int]:
        return [daemon.pid for daemon in self._daemons]

    @property
    def folder(self) -> Path:
        assert self._supervisor is not None, "not started"
        return self._supervisor.folder

    def start(self) -> None:
        class_path = jars()
        self._supervisor = Supervisor("kafka", self._folder)
        self._controller_port = free_port()
        self._cluster = _new_cluster_id()
        self._daemons = [self._broker(node, class_path) for node in range(1, self._brokers + 1)]
        with ThreadPoolExecutor(len(self._daemons)) as threads:  # each of them waits for node 1 by itself
            for started in [threads.submit(daemon.start) for daemon in self._daemons]:
                started.result()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None
            self._daemons = []

    def kill(self, node: int = 1) -> None:
        """Ends a broker with SIGKILL."""
        self._daemons[node - 1].kill()

    def restart(self, node: int = 1) -> None:
        """Starts a killed broker again on its data and its port, and returns when it answers."""
        self._daemons[node - 1].restart()

    def _broker(self, node: int, class_path: str) -> Daemon:
        def command(port: int) -> list[str]:
            properties = self.folder / f"node-{node}.properties"
            properties.write_text(self._properties(node, port))
            if not (self.folder / f"node-{node}").exists():
                _format(class_path, self._cluster, properties, self._format_options)
            return _java(class_path, "kafka.Kafka", str(properties), options=self._options)

        port = self._port if node == 1 else 0
        assert self._supervisor is not None
        return Daemon(
            self._supervisor, f"node-{node}", command=command, is_ready=lambda port, pid: answers(port), port=port
        )

    def _properties(self, node: int, port: int) -> str:
        controller = node == 1
        replicas = min(self._brokers, 3)
        clients = ",".join([f"PLAINTEXT://{HOST}:{port}", *(self._listeners if controller else ())])
        listeners = f"{clients},CONTROLLER://{HOST}:{self._controller_port}" if controller else clients
        values: dict[str, object] = {
            "process.roles": "broker,controller" if controller else "broker",
            "node.id": node,
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "listeners": listeners,
            "advertised.listeners": clients,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.folder / f"node-{node}",
            "default.replication.factor": replicas,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 4_000,  # a killed broker comes back only after its old session has ended
            "auto.create.topics.enable": "false",
        }
        return "".join(f"{name}={value}\n" for name, value in (values | self._settings).items())


def available() -> str | None:
    """None where Apache Kafka can be started here, else what is missing."""
    java = shutil.which("java")
    if java is None:
        return "java is not installed"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None or int(found[1]) < JAVA_OLDEST:
        return f"java is older than {JAVA_OLDEST}: {said.splitlines()[0] if said else 'it says nothing'}"
    if not _cache().exists() and shutil.which("mvn") is None:
        return "mvn is not installed"
    return None


def jars() -> str:
    """The class path of broker and tools; fetched by Maven the first time.

    Raises:
        ServerFailed: Java or Maven is missing, or Maven could not fetch them; says what it said.
    """
    if missing := available():
        raise ServerFailed(f"Apache Kafka needs Java {JAVA_OLDEST} and Maven: {missing}")
    cache = _cache()
    if not cache.exists():
        partial = cache.with_name(f"{cache.name}.{os.getpid()}")
        pom = Path(__file__).with_name("pom.xml")
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
        done = subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            raise ServerFailed(f"mvn could not fetch Apache Kafka {VERSION}:\n{(done.stdout + done.stderr)[-2000:]}")
        try:
            partial.rename(cache)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
    return f"{cache}/*"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "keylane" / f"apache-kafka-{VERSION}"


def _new_cluster_id() -> str:
    """22 characters of URL-safe base64; a minus in front would be read as an option by Kafka's tools."""
    while True:
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not identity.startswith("-"):
            return identity


def _java(class_path: str, *arguments: str, heap_mb: int = HEAP_MB, options: Sequence[str] = ()) -> list[str]:
    options = [f"-Xmx{heap_mb}m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *options]
    return ["java", *options, "-cp", class_path, *arguments]


def _format(class_path: str, cluster: str, properties: Path, options: Sequence[str]) -> None:
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *options]
    command = _java(class_path, *tool, heap_mb=256, options=SHORT_LIVED)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailed(f"Apache Kafka's storage could not be formatted:\n{(done.stdout + done.stderr)[-2000:]}")
