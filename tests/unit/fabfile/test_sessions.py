"""An sshd that allows one or two sessions on a connection: what is optional gives way, what is needed waits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko.ssh_exception import ChannelException

from fabfile.errors import RefusedError
from fabfile.hosts import connection as module
from fabfile.hosts.connection import Remote, UnreachableError
from fabfile.hosts.environment import AppHost


class Sshd:
    """The transport of a connection to an sshd with this MaxSessions."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.opened: list[Session] = []

    @property
    def open(self) -> int:
        return sum(not session.closed for session in self.opened)

    def open_session(self, timeout: float) -> Session:
        if self.open >= self.most:
            raise ChannelException(1, "Administratively prohibited")
        self.opened.append(Session())
        return self.opened[-1]


class Session:
    """A command that answers nothing."""

    def __init__(self) -> None:
        self.closed = False
        self.asked = ""

    def close(self) -> None:
        self.closed = True

    def exec_command(self, command: str) -> None:
        self.asked = command

    def exit_status_ready(self) -> bool:
        return self.closed


@pytest.fixture
def connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "SESSION_SECONDS", 0.2)
    monkeypatch.setattr(module, "SESSION_PAUSE_SECONDS", 0.01)

    def make(most: int) -> tuple[Remote, Sshd]:
        made, sshd = Remote(AppHost("app-1", "192.0.2.1", 22, "deploy", None, tmp_path)), Sshd(most)
        made.connection = SimpleNamespace(transport=sshd)
        return made, sshd

    return make


@pytest.mark.parametrize("ahead", ["a slipway that waits", "the reader of a migration's lines"])
def test_what_is_optional_gives_its_place_to_a_heartbeat(connected: Any, ahead: str) -> None:
    host, sshd = connected(2)
    if ahead == "a slipway that waits":
        host.prepare(1)
    else:
        host.session(optional=True)
    work, heartbeat = host.session(), host.session()
    assert [session.closed for session in sshd.opened] == [True, False, False]
    assert (work.closed, heartbeat.closed) == (False, False)


def test_what_is_needed_waits_for_a_place_and_then_names_the_setting(connected: Any) -> None:
    host, _ = connected(1)
    first = host.session()
    with pytest.raises(UnreachableError, match="MaxSessions"):
        host.session()
    first.close()
    assert not host.session().closed


def test_one_session_is_refused_by_name_before_anything_begins(connected: Any) -> None:
    host, sshd = connected(1)
    with pytest.raises(RefusedError, match=r"its sshd allows 1 session.*Nothing was changed.*MaxSessions 2"):
        host.require_sessions()
    assert sshd.open == 0
    other, sshd = connected(2)
    other.require_sessions()
    assert sshd.open == 0
