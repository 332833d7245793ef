"""Who sees whether a promise holds: customers who order, who read, and hosts that write numbered lines."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from contextlib import ExitStack
from types import TracebackType

from tests.e2e import hosts
from tests.e2e.host_faults import measures
from tests.e2e.host_faults.fault import Scene
from tests.e2e.load import Seen
from tests.lab.host import Host

# One request each 10 ms: as much as the edge takes from one address.
ORDERS, READS = 20.0, 80.0
ORDERERS, READERS = 6, 8
IN_FLIGHT = ORDERERS + READERS
PATIENCE = 60
UNIT = "slipway-test-lines"
# A number is written down once the line was taken; both outlive a crash of the host.
WRITE = """\
n=0
while :; do
  n=$((n + 1))
  logger --tag=numbered "{word}-$n." && echo $n >>/root/numbered
  sleep 0.1
done
"""


class Lines:
    """Numbered lines of one host. Use as a context; `measured` says which of them arrived."""

    def __init__(self, scene: Scene, host: Host) -> None:
        self.host, (self.collector, self.file) = host, scene.filed(host)
        self.word = f"line-{uuid.uuid4().hex[:12]}"

    def __enter__(self) -> Lines:
        hosts.output(
            self.host, "rm -f /root/numbered; cat >/root/number.sh", stdin=WRITE.format(word=self.word)
        )
        hosts.output(self.host, f"systemd-run --quiet --collect --unit={UNIT} sh /root/number.sh")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A host that crashed does not go on.
        self.host.run(f"systemctl stop {UNIT}")

    def measured(self) -> tuple[int, int, int]:
        """How many were written, how many of these are missing when nothing more comes, how many came twice."""
        written = set(hosts.output(self.host, "cat /root/numbered").split())
        deadline = time.monotonic() + PATIENCE
        while True:
            there = (
                f"cat {self.file} {self.file}.1 2>/dev/null | grep --only-matching '{self.word}-[0-9]*[.]'"
            )
            found = Counter(
                line.rpartition("-")[2].rstrip(".") for line in self.collector.run(there).stdout.split()
            )
            missing = written - set(found)
            if not missing or time.monotonic() > deadline:
                return len(written), len(missing), sum(count - 1 for count in found.values())
            time.sleep(1)


class Witness:
    """Use as a context around a fault; afterwards `measured` says what was seen."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.shop = scene.ground.shop(ORDERERS)
        self.orders, self.reads = self.shop.load(ORDERS), self.shop.readers(READERS, READS)
        self.lines = [Lines(scene, host) for host in scene.ground.app_hosts]
        self.instance = self._instance()

    def _instance(self) -> tuple[str, int]:
        """The live release's first process, and how often systemd started it again."""
        host = self.scene.ground.first
        said = hosts.output(
            host, f"systemctl show --property=MainPID,NRestarts '{hosts.live_unit(host)}'"
        ).split()
        found = dict(line.split("=") for line in said)
        return found["MainPID"], int(found["NRestarts"])

    def __enter__(self) -> Witness:
        with ExitStack() as stack:
            for each in self.lines:
                stack.enter_context(each)
            stack.enter_context(self.orders)
            stack.enter_context(self.reads)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, value, trace)

    def measured(self, since: float) -> dict[str, float]:
        """All that was seen. since: when the fault was made, or put right, in seconds since 1970."""
        orders, reads = self.orders.seen, self.reads.seen
        confirmed = {answer.key for answer in orders.answers if answer.status in measures.SERVED}
        assert confirmed, f"nobody's order was confirmed: {orders}"
        both = Seen(orders.answers + reads.answers, orders.losses + reads.losses)
        process, restarts = self._instance()
        again = 0 if process == self.instance[0] else max(1, restarts - self.instance[1])
        lines = [each.measured() for each in self.lines]
        return {
            **dict(measures.of_requests(both, since)),
            "lost": len(confirmed - self.shop.keys()),
            "restarts": again,
            "lines": sum(written for written, _, _ in lines),
            "lines lost": sum(missing for _, missing, _ in lines),
            "lines twice": sum(twice for _, _, twice in lines),
        }
