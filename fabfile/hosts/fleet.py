"""All app hosts of an environment: the same work on each, at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from fabfile.errors import FabError, FencedError, RefusedError
from fabfile.hosts.connection import Answer, Remote, UnreachableError
from fabfile.hosts.environment import Environment

Result = TypeVar("Result")
OTHER_VERSION = "Where that host's slipway is older than this fab: ansible-playbook -i inventory/ENV site.yml"
# What a host says when a release that had the traffic does not serve.
OWN_FAULTS = ("switch-failed", "process-failed", "verify-failed", "bake-failed")


class HostsError(FabError):
    """The work failed on some hosts. failures: by host."""

    exit_code = 3

    def __init__(self, failures: dict[str, FabError]) -> None:
        super().__init__("\n".join(str(failure) for failure in failures.values()))
        self.failures = failures
        codes = {failure.exit_code for failure in failures.values()}
        self.exit_code = codes.pop() if len(codes) == 1 else 3


class OvertakenError(HostsError, FencedError):
    """At least one host has seen a newer deploy: this one must change nothing more, wherever it is."""

    def __init__(self, failures: dict[str, FabError]) -> None:
        super().__init__(failures)
        self.exit_code = FencedError.exit_code


class AnswerError(FabError):
    """A host's slipway refused or failed. answer: what it said."""

    def __init__(self, host: str, answer: Answer) -> None:
        older = f" {OTHER_VERSION}" if answer.code == "usage" else ""
        super().__init__(f"{host}: {answer.message}{older}")
        self.host = host
        self.answer = answer
        self.exit_code = answer.exit_code


class StaleError(AnswerError, FencedError):
    """A host refused because a newer deploy has taken over."""


class UnknownError(FabError):
    """Something nobody thought of, on one host; the others are not held up by it."""

    exit_code = 3


class Fleet:
    """Connections to the app hosts, in the inventory's order; the first holds the environment's lease."""

    def __init__(self, environment: Environment, without: Sequence[str] = ()) -> None:
        self.environment = environment
        known = {host.name for host in environment.app_hosts}
        if strange := sorted(set(without) - known):
            raise RefusedError(
                f"{', '.join(strange)}: no app host of {environment.name}, which has {', '.join(sorted(known))}. "
                "Nothing was changed."
            )
        self.remotes = [Remote(host) for host in environment.app_hosts if host.name not in without]
        if not self.remotes:
            raise RefusedError("No app host is left to work on. Nothing was changed.")
        self._pool = ThreadPoolExecutor(max_workers=len(self.remotes))
        self.unreachable: dict[str, FabError] = {}

    def __enter__(self) -> Fleet:
        outcomes = self.attempt(lambda remote: remote.open())
        self.unreachable = {name: value for name, value in outcomes.items() if isinstance(value, FabError)}
        self.remotes = [remote for remote in self.remotes if remote.name not in self.unreachable]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for remote in self.remotes:
            remote.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def first(self) -> Remote:
        return self.remotes[0]

    @property
    def names(self) -> list[str]:
        return [remote.name for remote in self.remotes]

    def require_all(self) -> None:
        """Raise when a host is out of reach: half a fleet is not changed unless it is asked for by name."""
        if self.unreachable:
            shown = "\n".join(str(failure) for failure in self.unreachable.values())
            names = ",".join(self.unreachable)
            raise UnreachableError(
                f"{shown}\nNothing was changed on any host. Bring it back, or go on without it: --without {names}; "
                "it will serve the release it has until `fab recover` brings it the fleet's."
            )

    def prepare(self, times: int) -> None:
        """Have slipway started on every host ahead of the next `times` calls."""
        self.attempt(lambda remote: remote.prepare(times))

    def attempt(
        self, work: Callable[[Remote], Result], on: Iterable[Remote] | None = None
    ) -> dict[str, Result | FabError]:
        """What work returned or how it failed, by host."""

        def guarded(remote: Remote) -> Result | FabError:
            try:
                return work(remote)
            except FabError as failure:
                return failure
            except Exception as failure:
                return UnknownError(
                    f"{remote.name}: {type(failure).__name__}: {failure}. What was done there is in its journal: "
                    f"fab audit --env {self.environment.name}"
                )

        chosen = list(self.remotes if on is None else on)
        return dict(zip([remote.name for remote in chosen], self._pool.map(guarded, chosen), strict=True))

    def each(self, work: Callable[[Remote], Result], on: Iterable[Remote] | None = None) -> dict[str, Result]:
        """What work returned, by host. Raises HostsError when it failed on any."""
        outcomes = self.attempt(work, on)
        failures = {name: value for name, value in outcomes.items() if isinstance(value, FabError)}
        if failures:
            raise _together(failures)
        return {name: value for name, value in outcomes.items() if not isinstance(value, FabError)}


def _together(failures: dict[str, FabError]) -> HostsError:
    overtaken = any(isinstance(failure, FencedError) for failure in failures.values())
    return OvertakenError(failures) if overtaken else HostsError(failures)


def refusal(host: str, answer: Answer) -> AnswerError:
    """The error for an answer that is none of the good ones."""
    kind = StaleError if answer.exit_code == FencedError.exit_code else AnswerError
    return kind(host, answer)


def performed(remote: Remote, *commands: Sequence[str], seconds: float = 60.0) -> list[Answer]:
    """The answers of commands that all went well on a host. Raises AnswerError with the first that did not."""
    answers = remote.perform(*commands, seconds=seconds)
    for answer in answers:
        if not answer.ok:
            raise refusal(remote.name, answer)
    return answers


def raise_fenced(failures: dict[str, FabError], error: Callable[[FabError], FencedError]) -> None:
    """Raise that error when one of the hosts has seen a newer deploy."""
    for failure in failures.values():
        if isinstance(failure, FencedError):
            raise error(failure) from failure


def is_its_own(failure: BaseException) -> bool:
    """Whether the release is to blame: not for a lost connection, nor for whoever pressed Ctrl-C."""
    failures = failure.failures.values() if isinstance(failure, HostsError) else [failure]
    return any(isinstance(each, AnswerError) and each.answer.code in OWN_FAULTS for each in failures)


def batches(remotes: Sequence[Remote], size: str, canary: bool) -> list[list[Remote]]:
    """The hosts in the order they are switched. size: a number of hosts, or a share such as 25%; "" is all at once."""
    rest = list(remotes)
    ordered = [[rest.pop(0)]] if canary and len(rest) > 1 else []
    share = len(remotes) * int(size[:-1]) // 100 if size.endswith("%") else int(size or len(remotes))
    count = max(1, share)
    while rest:
        ordered.append(rest[:count])
        rest = rest[count:]
    return ordered
