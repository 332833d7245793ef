#!/bin/sh
# Makes of the installed packages what a cloud's image of Ubuntu is before its first boot; $1 is its root.
set -eu
root=$1

systemctl --quiet --root "$root" enable systemd-networkd.service

# What makes one host different from another is written by cloud-init, from the lab's seed, and by the lab.
rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/etc/apt/sources.list"
: > "$root/etc/machine-id"
: > "$root/etc/fstab"

# The seed is in the image's files, and the network is the lab's.
cat > "$root/etc/cloud/cloud.cfg.d/95-lab.cfg" <<EOF
datasource_list: [NoCloud]
network: {config: disabled}
EOF

# snapd's, which the lab mounts.
mkdir -p "$root/snap/core20/1"

# What clouds and their customers add.
mkdir -p "$root/etc/needrestart/conf.d"
echo "\$nrconf{restart} = 'a';" > "$root/etc/needrestart/conf.d/50-automatic.conf"
echo 'Only for those who may. All that is done here is recorded.' > "$root/etc/issue.net"
echo 'Banner /etc/issue.net' > "$root/etc/ssh/sshd_config.d/50-banner.conf"
