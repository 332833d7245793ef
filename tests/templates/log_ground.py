"""A sender and a collector of lines as they are rendered, in a platform's own rsyslogd and a network of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.templates import checkers
from tests.templates.rendering import HostTree
from tests.templates.test_nginx_answers import nginx_of
from tests.unit.plugins.ansible_run import REPOSITORY, load_plugin

STEP_BACK, TUNNEL = (
    REPOSITORY / f"roles/rsyslog/files/{name}.py" for name in ("step_back_queues", "relp_tunnel")
)
TUNNEL_UNIT = "etc/systemd/system/slipway-relp-tunnel.service"
# What the program says of itself.
WINDOW = 128
SENDER, COLLECTOR = "10.83.7.31", "10.83.7.51"
# Files stand for the journal, read in its way: the position is noted after lines were filed and queued.
READ = 'input(type="imfile" file="{path}" tag="{tag}"{more} maxSubmitAtOnce="1" persistStateInterval="100")\n'
JOURNAL = (
    'module(load="imfile")\n'
    + READ.format(path="{folder}/said/shop", tag="shop", more="")
    + READ.format(path="{folder}/said/sshd", tag="sshd:", more=' facility="authpriv"')
    + 'if ($programname == "shop") then {{\n    set $!_SYSTEMD_UNIT = "shop@release.service";\n}}\n'
)
# What of the host a line is read from, and what of it the collector keeps it in.
KINDS = {"shop": "said/shop", "auth": "said/sshd", "nginx-access": "var/log/nginx/access.log"}
NUMBER = re.compile(r"number (\d+)")


class Ground:
    """folder: sender/ and collector/, each with what the host has; lines of kind k are said by say(k, …)."""

    def __init__(self, folder: Path, suite: str, sender: HostTree, collector: HostTree) -> None:
        self.folder, self.suite = folder, suite
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.said: Counter[str] = Counter()
        self.stepped: list[str] = []
        self.trees = {"sender": sender, "collector": collector}
        self.network = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        for name, tree in (("sender", sender), ("collector", collector)):
            for path in (
                "said",
                "etc",
                "var/spool/rsyslog",
                *(f"var/log/{each}" for each in ("nginx", "postgresql", "shop")),
            ):
                (folder / name / path).mkdir(parents=True)
            self.configure(name, tree)
        for path in KINDS.values():
            (folder / "sender" / path).touch()
        self._connect()

    def configure(self, name: str, tree: HostTree, **other: str) -> None:
        """Write the rendered files, with the host's paths below folder/name; other: text, by what stands for it."""
        parts = sorted((tree.root / "etc/rsyslog.d").glob("*.conf"))
        text = tree.text("etc/rsyslog.conf").replace("$PrivDrop", "#")
        text = re.sub(r'(file|dir)Owner="syslog"', r'\1Owner="root"', text)
        text = re.sub(r"include\(.*\)", "", re.sub(r'module\(load="imjournal".*\)', JOURNAL, text))
        rules = "".join(part.read_text() for part in parts).replace('module(load="imfile")', "")
        # Both are of one network, in which the sender's tunnel has the port at 127.0.0.1.
        rules = rules.replace('input(type="imrelp"', f'input(type="imrelp" address="{COLLECTOR}"')
        place = self.folder / name
        for path in ("/var/", "/etc/ssl/slipway/"):
            text, rules = (each.replace(f'"{path}', f'"{place}{path}') for each in (text, rules))
        whole = text.replace("{folder}", str(place)).replace("{{", "{").replace("}}", "}") + rules
        for old, new in other.items():
            assert old in whole, f"{old} is not in what is rendered"
            whole = whole.replace(old, new)
        (place / "etc/rsyslog.conf").write_text(whole)

    def certify(self, name: str, host: str, days: int = 90, authority: str = "") -> None:
        """A certificate of the host's name; days=0: it has ended; authority: it is of another one than all others."""
        plugin = load_plugin("action/private_certificate")
        issued = self.folder / authority
        issued.mkdir(exist_ok=True)
        place = self.folder / name / "etc/ssl/slipway"
        place.mkdir(parents=True, exist_ok=True)
        for old in issued.glob(f"{host}.*"):
            old.unlink()
        signer = plugin.ensure_authority(issued)
        plugin.ensure_certificate(issued, signer, name=host, names=[host], addresses=[], days=days)
        for source, target in ((f"{host}.pem", "host.pem"), (f"{host}.key", "host.key")):
            (place / target).write_bytes((issued / source).read_bytes())
        (place / "ca.pem").write_bytes((self.folder / "ca.pem").read_bytes())

    def start(self, *names: str) -> None:
        root = checkers.root(self.suite)
        (modules,) = root.glob("usr/lib/*/rsyslog")
        for name in names:
            place = self.folder / name
            # As the unit does.
            stepped = [sys.executable, "-IS", str(STEP_BACK), str(place / "var/spool/rsyslog")]
            done = subprocess.run(stepped, capture_output=True, text=True, check=True)
            self.stepped = [*self.stepped, *done.stdout.splitlines()]
            program = [*nginx_of(self.suite)[:-1], str(root / "usr/sbin/rsyslogd"), "-n", "-M", str(modules)]
            if name == "sender" and "tunnel" not in self.running and self.trees[name].has(TUNNEL_UNIT):
                self.start_tunnel()
            self._run(
                name,
                place,
                [*program, "-f", str(place / "etc/rsyslog.conf"), "-i", str(place / "pid")],
            )

    def start_tunnel(self, user: str = "root") -> None:
        """As the unit does, which goes on when rsyslogd is killed."""
        unit = self.trees["sender"].text(TUNNEL_UNIT)
        port, address, host, folder, _ = re.findall(r"ExecStart=\S+ (.*)", unit)[0].split()
        place = self.folder / "sender"
        self._run(
            "tunnel",
            place,
            [sys.executable, "-IS", str(TUNNEL), port, address, host, f"{place}{folder}", user],
        )

    def _run(self, name: str, place: Path, program: list[str]) -> None:
        self.running[name] = subprocess.Popen(
            [*self._inside(), *program], stdout=(place / "output").open("ab"), stderr=subprocess.STDOUT
        )

    def end(self, name: str, by: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        process.send_signal(by)
        process.wait(60)
        # Its own file says that it runs; a killed one leaves it.
        (self.folder / name / "pid").unlink(missing_ok=True)

    def freeze(self, name: str) -> None:
        """It takes connections, and reads nothing."""
        self.running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGCONT)

    def say(self, kind: str, count: int, seconds: float = 0.0) -> None:
        """count further numbered lines, at once or over some time, by programs that wait for nobody."""
        parts = max(1, int(seconds * 20))
        for part in range(parts):
            first, last = (self.said[kind] + count * each // parts for each in (part, part + 1))
            with (self.folder / "sender" / KINDS[kind]).open("a") as log:
                log.writelines(f'{{"event": "number {number} of {kind}"}}\n' for number in range(first, last))
            time.sleep(seconds / parts)
        self.said[kind] += count

    def came(self, kind: str) -> Counter[int]:
        """How often each number is in the collector's file of the kind."""
        path = self.folder / "collector/var/log/remote/app-1" / f"{kind}.log"
        return Counter(int(each) for each in NUMBER.findall(path.read_text() if path.exists() else ""))

    def missing(self, kind: str) -> set[int]:
        return set(range(self.said[kind])) - set(self.came(kind))

    def read(self, kind: str) -> int:
        """How many lines the sender itself has filed or queued: of the service, or of the rest of its journal."""
        log = self.folder / "sender/var/log" / ("shop/shop.log" if kind == "shop" else "auth.log")
        return len(set(NUMBER.findall(log.read_text()))) if log.exists() else 0

    def all_came(self, *kinds: str, seconds: float = 60.0) -> None:
        """Wait until every line that was said is on the collector."""
        wait_for(
            lambda: not any(self.missing(kind) for kind in kinds),
            seconds,
            lambda: (
                f"{[(kind, len(self.missing(kind)), self.said[kind]) for kind in kinds]}\n{self.output()}"
            ),
        )

    def output(self) -> str:
        outputs = [self.folder / name / "output" for name in ("sender", "collector")]
        return "\n".join(path.read_text()[-3000:] for path in outputs if path.exists())

    def close(self) -> None:
        for process in (*self.running.values(), self.network):
            process.kill()
            process.wait(30)

    def run_inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._inside(), *command], capture_output=True, text=True, timeout=60, check=False
        )

    def _inside(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.network.pid}/ns/net"]

    def _connect(self) -> None:
        own = Path("/proc/self/ns/net").readlink()
        wait_for(lambda: Path(f"/proc/{self.network.pid}/ns/net").readlink() != own, 10)
        commands = ["link set lo up", *(f"address add {each}/32 dev lo" for each in (SENDER, COLLECTOR))]
        # Who asks the collector comes from the sender's address.
        commands.append(f"route change local {COLLECTOR} dev lo table local src {SENDER}")
        for command in commands:
            subprocess.run([*self._inside(), "ip", *command.split()], check=True)


def wait_for(condition: Callable[[], object], seconds: float, show: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {show()}"
        time.sleep(0.1)


@contextmanager
def ground(folder: Path, suite: str, sender: HostTree, collector: HostTree) -> Iterator[Ground]:
    """Both with their certificates, and none of them started."""
    made = Ground(folder, suite, sender, collector)
    try:
        made.certify("sender", "app-1")
        made.certify("collector", "logs-1")
        yield made
    finally:
        made.close()
