#!/bin/sh
# Makes of the installed packages what a cloud's image of Debian is before its first boot; $1 is its root.
set -eu
root=$1

systemctl --quiet --root "$root" enable systemd-networkd.service

# What makes one host different from another is written by the lab, host by host.
rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/etc/apt/sources.list"
: > "$root/etc/machine-id"
: > "$root/etc/fstab"

cat > "$root/etc/hosts" <<EOF
127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
EOF
