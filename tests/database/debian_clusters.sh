#!/bin/bash
# The clusters of postgresql-common in a private view of this machine: 14 and 17 from the lab's binaries, nothing of the machine's
# own, and systemd's units started by pg_ctlcluster. Arguments: a scratch folder, the trees of 14 and of 17, a command to run in it.
set -eu
scratch=$1 old=$2 new=$3
shift 3
mkdir -p "$scratch"/{lib,share,etc,data,log,run,bin,fifteen,fifteen-share}
mount --make-rprivate /
mount --bind /usr/lib/postgresql/15 "$scratch/fifteen"
mount --bind /usr/share/postgresql/15 "$scratch/fifteen-share"
mount --bind "$scratch/lib" /usr/lib/postgresql
mount --bind "$scratch/share" /usr/share/postgresql
mkdir -p /usr/lib/postgresql/{14,15,17} /usr/share/postgresql/{14,15,17}
mount --bind "$scratch/fifteen" /usr/lib/postgresql/15
mount --bind "$scratch/fifteen-share" /usr/share/postgresql/15
cp -a "$old/lib/postgresql/14" "$new" "$scratch/lib/" && rmdir /usr/lib/postgresql/17 && mv "$scratch/lib/${new##*/}" "$scratch/lib/17"
mount --bind "$old/share/postgresql/14" /usr/share/postgresql/14
mount --bind "$new/share/postgresql" /usr/share/postgresql/17
# Clients of another major serve as well; the server's own are in a package that the lab has none of.
for version in 14 17; do ln -sf /usr/lib/postgresql/15/bin/{psql,pg_dump,pg_dumpall} "/usr/lib/postgresql/$version/bin/"; done
chown postgres:postgres "$scratch"/{etc,data,run}
chown root:postgres "$scratch/log"
chmod 1775 "$scratch/log"
chmod 2775 "$scratch/run"
mount --bind "$scratch/etc" /etc/postgresql
mount --bind "$scratch/data" /var/lib/postgresql
mount --bind "$scratch/log" /var/log/postgresql
mount --bind "$scratch/run" /run/postgresql
# A default for every new cluster that 14 has and 17 has not.
cp /etc/postgresql-common/createcluster.conf "$scratch/createcluster.conf"
echo "vacuum_defer_cleanup_age = 0" >>"$scratch/createcluster.conf"
mount --bind "$scratch/createcluster.conf" /etc/postgresql-common/createcluster.conf
cat >"$scratch/bin/systemctl" <<'S'
#!/bin/sh
unit=${2#postgresql@}
unit=${unit%.service}
exec pg_ctlcluster --skip-systemctl-redirect "${unit%%-*}" "${unit#*-}" "$1" $([ "$1" = stop ] && echo "-m fast")
S
chmod 755 "$scratch/bin/systemctl"
[ -e /usr/bin/systemctl ] && mount --bind "$scratch/bin/systemctl" /usr/bin/systemctl
exec "$@"
