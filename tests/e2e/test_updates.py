"""Updates of packages on a serving host, as they come by themselves: installed, and noticed by nobody."""

import pytest

from tests.e2e import hosts
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

# An archive of one package that says of itself what the distribution's security archive does. $1: its version.
PUBLISH = r"""
set -eu
. /etc/os-release
mkdir -p /srv/probe /root/probe/DEBIAN /root/probe/etc
cd /root/probe
{ printf 'Package: conf-probe\nVersion: %s\nArchitecture: all\n' "$1"
  printf 'Maintainer: nobody <nobody@shop.example>\nDescription: probe\n'; } >DEBIAN/control
echo /etc/conf-probe.conf >DEBIAN/conffiles
echo "as version $1 has it" >etc/conf-probe.conf
dpkg-deb --build --root-owner-group . /srv/probe/conf-probe.deb >/dev/null
cd /srv/probe
{ cat /root/probe/DEBIAN/control; stat --format='Size: %s' conf-probe.deb
  echo "Filename: ./conf-probe.deb"; echo "SHA256: $(sha256sum conf-probe.deb | cut -d' ' -f1)"; } >Packages
case $ID in ubuntu) origin=Ubuntu label=Ubuntu ;; *) origin=Debian label=Debian-Security ;; esac
{ printf 'Origin: %s\nLabel: %s\n' "$origin" "$label"
  printf 'Suite: %s-security\nCodename: %s-security\n' "$VERSION_CODENAME" "$VERSION_CODENAME"
  printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(date --utc --rfc-email)" \
    "$(sha256sum Packages | cut -d' ' -f1)" "$(stat --format=%s Packages)"; } >Release
echo 'deb [trusted=yes] file:/srv/probe ./' >/etc/apt/sources.list.d/probe.list
apt-get --quiet --quiet --option Dir::Etc::SourceParts=- --option APT::Get::List-Cleanup=0 \
  --option Dir::Etc::SourceList=/etc/apt/sources.list.d/probe.list update
"""
APT = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet --yes"


def publish(host: Host, version: str) -> None:
    hosts.output(host, f"sh -s {version}", stdin=PUBLISH)


def test_a_security_update_with_a_question_about_a_changed_file_comes_by_itself(spoilt: Host) -> None:
    publish(spoilt, "1")
    hosts.output(spoilt, f"{APT} install conf-probe")
    hosts.output(spoilt, "echo ours >/etc/conf-probe.conf")
    publish(spoilt, "2")
    said = hosts.output(spoilt, "unattended-upgrade --debug 2>&1")
    assert hosts.output(spoilt, "dpkg-query --show --showformat='${Version}' conf-probe") == "2", said[-3000:]
    assert hosts.output(spoilt, "cat /etc/conf-probe.conf") == "ours"
