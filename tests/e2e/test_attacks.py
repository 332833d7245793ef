"""Whoever has the deploy user's key tries to become root on a host that serves, and does not."""

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from typing import Any

import pytest

from tests.e2e import hosts
from tests.e2e.ansible_runs import Playbooks
from tests.e2e.signing import signature
from tests.e2e.test_access import as_deploy
from tests.lab.host import Host
from tests.unit.slipway import support

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

PROOF = "/tmp/ran-as"
EVIL = "/tmp/evil.tar.gz"
# All that root owns and a deploy does not change; slipway's own journal, lock and reserve are what it writes.
ROOTS = ("/etc", "/usr/local", "/root", "/home", "/srv", "/var/spool/cron", "/var/lib/systemd/linger")
BACKEND = f"""import os
def write(where):
    open('{PROOF}', 'a').write(f'{{os.getuid()}} ')
    raise SystemExit(1)
build_wheel = prepare_metadata_for_build_wheel = lambda directory, *rest: write(directory)
"""


def archive(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as target:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_toml", ".toml").replace("_py", ".py"))
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def hostile_package() -> bytes:
    """A source package whose own backend, in its tree and without requirements, says as whom it ran."""
    project = b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    return archive(evil__pyproject_toml=project, evil__backend_py=BACKEND.encode())


def sent(host: Host, command: str, content: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Run a command as the deploy user with content on its standard input."""
    login = host.site.access.command(host.address, user="deploy")
    return subprocess.run([*login, command], input=content, capture_output=True, timeout=120)


def staged(host: Host, lock: bytes, **extra: bytes) -> dict[str, Any]:
    """The host's answer to a bundle with this lock, and with further wheels by name, signed by who may."""
    wheels = {f"wheelhouse/{name}-99.0-py3-none-any.whl": content for name, content in extra.items()}
    files = {**support.bundle_files(), "requirements.lock": lock, **wheels}
    target = {"python": hosts.output(host, "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"),
              "machine": hosts.output(host, "uname -m")}  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as bundle:
        for member, content in support.members_of(files, support.manifest_of(files, targets=[target])):
            bundle.addfile(member, io.BytesIO(content))
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    done = sent(
        host,
        f"sudo -n /usr/local/sbin/slipway stage --bundle - --sha256 {digest} --wait 30 {signature(host, digest)}",
        packed.getvalue(),
    )
    return dict(json.loads(done.stdout))


@pytest.fixture(autouse=True)
def untouched(host: Host) -> Any:
    """Whatever was tried: no file of root's is another, and nothing ran as root."""
    before = hosts.files(host, *ROOTS)
    yield
    changed = hosts.differences(before, hosts.files(host, *ROOTS))
    ran = hosts.output(host, f"cat {PROOF} 2>/dev/null; rm -f {PROOF} {EVIL}; true")
    assert "0" not in ran.split(), "code of a bundle ran as root"
    assert not changed, changed


def test_a_lock_cannot_name_a_source_package(host: Host) -> None:
    package = hostile_package()
    assert sent(host, f"cat > {EVIL}", package).returncode == 0
    pin = f"{EVIL} --hash=sha256:{hashlib.sha256(package).hexdigest()}"
    line_break = "+" + base64.b64encode("\n".encode("utf-16-be")).decode().rstrip("=") + "-"

    for lock in (
        f"# locked \\\n{pin}\n",
        f"# -*- coding: utf-7 -*-\n# x {line_break}{pin}\n",
    ):
        answer = staged(host, lock.encode())
        assert answer.get("error", {}).get("code") in (None, "bundle-content"), answer
        if "result" in answer:
            # Understood as a comment alone: then there is nothing to install but the service.
            release = answer["result"]["release"]
            hosts.output(host, f"rm -r /srv/shop/releases/{release}; slipway prune --keep 100")


def test_a_bundle_cannot_bring_a_pip(host: Host) -> None:
    _, content = support.tiny_wheel("pip", {"pip/__main__.py": BACKEND + "write('.')\n"}, version="99.0")
    lock = f"pip==99.0 --hash=sha256:{hashlib.sha256(content).hexdigest()}\n".encode()

    assert staged(host, lock, pip=content)["error"]["code"] in ("bundle-manifest", "bundle-content")


def test_the_deploy_users_key_alone_brings_no_code(host: Host) -> None:
    """Unsigned, or with a signature of something else; nor can who may sign be changed."""
    bundle = archive(manifest__json=b"{}")
    digest = hashlib.sha256(bundle).hexdigest()
    words = f"sudo -n /usr/local/sbin/slipway stage --bundle - --sha256 {digest}"

    unsigned = sent(host, words, bundle)
    of_another = sent(host, f"{words} {signature(host, '0' * 64)}", bundle)

    assert json.loads(unsigned.stdout)["error"]["code"] == "signature-missing"
    assert json.loads(of_another.stdout)["error"]["code"] == "signature-wrong"
    for command in (
        "echo x >> /etc/slipway/shop/allowed_signers",
        "rm /etc/slipway/shop/release.conf",
        "mv /etc/slipway /tmp/x",
    ):
        assert as_deploy(host, command).returncode != 0, command


def test_nothing_that_a_login_reads_is_the_deploy_users(host: Host) -> None:
    for command in (
        "touch ~/.bashrc",
        "mkdir ~/.ssh",
        "mkdir -p ~/.config/systemd/user",
        "ln -s /etc/apt/apt.conf.d ~/.ssh",
        "echo key >> /etc/ssh/slipway-keys/deploy",
    ):
        assert as_deploy(host, command).returncode != 0, command


def test_slipway_reads_no_file_for_the_deploy_user(host: Host) -> None:
    for path in ("/etc/shadow", "/etc/shop/credentials/secret_key", "/root/.ssh/authorized_keys", "/nowhere"):
        words = f"--bundle {path} --sha256 {'0' * 64} {signature(host, '0' * 64)}"
        done = as_deploy(host, f"sudo -n /usr/local/sbin/slipway stage {words}")
        assert json.loads(done.stdout)["error"]["code"] == "bundle-place", path


def test_the_deploy_user_closes_no_port_of_others(host: Host) -> None:
    for port in (22, 80, 443, 5432):
        done = as_deploy(host, f"sudo -n /usr/local/sbin/slipway drain --port {port}")
        assert json.loads(done.stdout)["error"]["code"] == "not-listening", port
    assert as_deploy(host, "true").returncode == 0


def test_site_yml_leaves_the_releases_of_a_deploy_in_progress_alone(host: Host, playbooks: Playbooks) -> None:
    taking = "slipway lease acquire --holder ada --process 1@laptop --command 'fab deploy' --ttl 300"
    fence = json.loads(hosts.output(host, taking))["result"]["fence"]
    try:
        run = playbooks.run("playbooks/app.yml", "--tags=release_service")
        assert run.status != 0
        assert "ada (fab deploy) is changing releases" in " ".join(run.output.split()), run.output
    finally:
        hosts.output(host, f"slipway lease release --fence {fence}")
