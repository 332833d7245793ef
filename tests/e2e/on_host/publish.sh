# An apt archive on the host itself, with a newer version of packages that it has. Arguments: NAME=VERSION of each package that
# is packed again with its own files and scripts; kernel-probe=VERSION is a package that asks for a reboot, as a kernel does.
set -eu
mkdir -p /srv/probe
for each; do
    name=${each%%=*} version=${each#*=} tree=$(mktemp --directory)
    mkdir "$tree/DEBIAN"
    if [ "$name" = kernel-probe ]; then
        printf 'Package: kernel-probe\nArchitecture: all\nMaintainer: nobody <nobody@shop.example>\nDescription: probe\n' >"$tree/control"
        mkdir -p "$tree/usr/share/kernel-probe"
        echo "$version" >"$tree/usr/share/kernel-probe/version"
        cat >"$tree/DEBIAN/postinst" <<'POSTINST'
#!/bin/sh
# At the first installation nothing is asked for: it is what runs.
[ -z "$2" ] || { touch /var/run/reboot-required; echo kernel-probe >>/var/run/reboot-required.pkgs; }
POSTINST
        chmod 0755 "$tree/DEBIAN/postinst"
    else
        dpkg-query --status "$name" | sed -E '/^(Status|Version|Config-Version|Conffiles):/d; /^ \/.* [0-9a-f]{32}( obsolete)?$/d' >"$tree/control"
        dpkg --listfiles "$name" | while read -r path; do
            [ ! -L "$path" ] && [ ! -f "$path" ] || cp --archive --parents "$path" "$tree"
        done
        for script in preinst postinst prerm postrm triggers; do
            for kept in "/var/lib/dpkg/info/$name.$script" "/var/lib/dpkg/info/$name:amd64.$script"; do
                [ ! -e "$kept" ] || cp --archive "$kept" "$tree/DEBIAN/$script"
            done
        done
        # Its own question about services is none of what is tried.
        case $name in libssl*) rm -f "$tree"/DEBIAN/p* ;; esac
    fi
    { grep -v '^Description:\|^ ' "$tree/control"; echo "Version: $version"; echo 'Description: probe'; } >"$tree/DEBIAN/control"
    rm "$tree/control"
    dpkg-deb -Zgzip -z1 --build --root-owner-group "$tree" "/srv/probe/$name.deb" >/dev/null
    rm --recursive "$tree"
done
cd /srv/probe
for file in *.deb; do
    dpkg-deb --field "$file"
    stat --format='Size: %s' "$file"
    printf 'Filename: ./%s\nSHA256: %s\n\n' "$file" "$(sha256sum "$file" | cut -d' ' -f1)"
done >Packages
{
    printf 'Origin: probe\nLabel: probe\nSuite: probe\nCodename: probe\nDate: %s\nSHA256:\n %s %s Packages\n' \
        "$(date --utc --rfc-email)" "$(sha256sum Packages | cut -d' ' -f1)" "$(stat --format=%s Packages)"
} >Release
echo 'deb [trusted=yes] file:/srv/probe ./' >/etc/apt/sources.list.d/probe.list
apt-get --quiet --quiet update
