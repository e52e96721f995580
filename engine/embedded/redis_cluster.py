"""A Redis Cluster on loopback, of the server that comes in a wheel: three primaries, each with a replica.

Node numbers go from 0: first the primaries, then in the same order their replicas. A failover changes the roles, not
the numbers.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.embedded.process import HOST, Daemon, EmbeddedServer, ServerFailed, Supervisor, free_port
from engine.embedded.redis import command, is_ready
from engine.embedded.resp import ask

SLOTS = 16_384
SETTLED_S = 30.0
LOOK_S = 0.02
SETTINGS = {
    "appendonly": "yes",
    "cluster-enabled": "yes",
    "cluster-require-full-coverage": "no",
    "cluster-allow-replica-migration": "no",
    "cluster-replica-validity-factor": 0,
    "repl-diskless-sync-delay": 0,
}


class EmbeddedRedisCluster(EmbeddedServer):
    """`url` is valid after `start`. Data goes to a temporary folder."""

    def __init__(self, *, shards: int = 3, node_timeout_ms: int = 1_000) -> None:
        """`node_timeout_ms`: after this a silent primary is replaced by its replica."""
        self._shards = shards
        self._node_timeout_ms = node_timeout_ms
        self._supervisor: Supervisor | None = None
        self._daemons: list[Daemon] = []

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'{HOST}:{port}' for port in self.ports)}"

    @property
    def ports(self) -> list[int]:
        return [daemon.port for daemon in self._daemons]

    def start(self) -> None:
        self._supervisor = Supervisor("redis-cluster")
        for number in range(2 * self._shards):
            folder = self._supervisor.folder / f"node-{number}"
            folder.mkdir()
            self._daemons.append(
                Daemon(self._supervisor, f"node-{number}", command=self._command(folder), is_ready=is_ready)
            )
            self._daemons[-1].start()
        self._join()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None
            self._daemons = []

    def ask(self, node: int, *words: object) -> Any:
        """What a node answers to a command. Raises OSError, ServerFailed."""
        return ask(self.ports[node], *words)

    def node_of(self, key: str) -> int:
        """The primary that answers for a key, by the map of the first node that lives."""
        for node in range(len(self.ports)):
            try:
                port = self._holder(node, self.ask(node, "CLUSTER", "KEYSLOT", key))
            except OSError:
                continue
            if port is not None:
                return self.ports.index(port)
        raise ServerFailed(f"no node of the cluster answers for {key}")

    def replica_of(self, node: int) -> int:
        """Its partner. Each shard has two nodes; which of them is the primary may change."""
        return (node + self._shards) % (2 * self._shards)

    def kill(self, node: int) -> None:
        """Ends a node the hard way."""
        self._daemons[node].kill()

    def restart(self, node: int) -> None:
        """Starts a killed node again on its port and its data, and returns when the cluster is whole."""
        self._daemons[node].restart()
        self._until(self._whole)

    def cut_off(self, replica: int) -> None:
        """The replica stands still, and gets nothing of what its primary acknowledges from now on."""
        os.kill(self._daemons[replica].pid, signal.SIGSTOP)
        self.ask(self.replica_of(replica), "CLIENT", "KILL", "TYPE", "REPLICA")

    def failover(self, replica: int) -> None:
        """The replica (also one that was cut off) becomes the primary with what it has, whoever agrees."""
        os.kill(self._daemons[replica].pid, signal.SIGCONT)
        self.ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        self._until(lambda: self._role(replica) == b"master")

    def move_slot(self, slot: int, source: int, target: int) -> None:
        """By the server's atomic migration; returns when every node knows the slot's new place."""
        name = self.ask(target, "CLUSTER", "MYID").decode()
        self.ask(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", name)
        port = self.ports[target]
        self._until(lambda: all(self._holder(node, slot) == port for node in range(len(self.ports))))

    # ---------------------------------------------------------------- starting
    def _command(self, folder: Path) -> Callable[[int], list[str]]:
        bus: dict[int, int] = {}

        def of(port: int) -> list[str]:
            more = {
                "cluster-port": bus.setdefault(port, free_port()),
                "cluster-node-timeout": self._node_timeout_ms,
                "cluster-config-file": folder / "nodes.conf",
            }
            return command(folder, port, SETTINGS | more)

        return of

    def _join(self) -> None:
        nodes = range(2 * self._shards)
        bounds = [shard * SLOTS // self._shards for shard in range(self._shards + 1)]
        for node in nodes:
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", node + 1)
            if node < self._shards:
                self.ask(node, "CLUSTER", "ADDSLOTSRANGE", bounds[node], bounds[node + 1] - 1)
            if node > 0:
                self.ask(0, "CLUSTER", "MEET", HOST, self.ports[node], self._bus_port(node))
        known = f"cluster_known_nodes:{len(nodes)}"
        self._until(lambda: all(known in self._info(node) for node in nodes))
        for node in range(self._shards):
            self.ask(self.replica_of(node), "CLUSTER", "REPLICATE", self.ask(node, "CLUSTER", "MYID").decode())
        self._until(self._whole)

    def _bus_port(self, node: int) -> int:
        _, port = self.ask(node, "CONFIG", "GET", "cluster-port")
        return int(port)

    def _whole(self) -> bool:
        """Every node sees all slots served and every shard's replica, and every replica is in step."""
        for node in range(2 * self._shards):
            ranges = self._ranges(node)
            if any(len(ports) != 2 for _, _, ports in ranges) or "cluster_state:ok" not in self._info(node):
                return False
            if sum(last - first + 1 for first, last, _ in ranges) != SLOTS:
                return False
            if self._role(node) == b"slave" and "master_link_status:up" not in self._replication(node):
                return False
        return True

    def _ranges(self, node: int) -> list[tuple[int, int, list[int]]]:
        """First and last slot, and the ports of those who hold it, the primary's first."""
        return [
            (first, last, [port for _, port, *_ in held]) for first, last, *held in self.ask(node, "CLUSTER", "SLOTS")
        ]

    def _holder(self, node: int, slot: int) -> int | None:
        """The port of the slot's primary by a node's map."""
        return next((ports[0] for first, last, ports in self._ranges(node) if first <= slot <= last), None)

    def _info(self, node: int) -> list[str]:
        found: bytes = self.ask(node, "CLUSTER", "INFO")
        return found.decode().split()

    def _replication(self, node: int) -> list[str]:
        found: bytes = self.ask(node, "INFO", "replication")
        return found.decode().split()

    def _role(self, node: int) -> bytes:
        role: bytes = self.ask(node, "ROLE")[0]
        return role

    def _until(self, reached: Callable[[], bool]) -> None:
        """Raises ServerFailed."""
        deadline_s = time.monotonic() + SETTLED_S
        while not reached():
            if time.monotonic() > deadline_s:
                raise ServerFailed(f"the cluster did not settle within {SETTLED_S:.0f} s")
            time.sleep(LOOK_S)
