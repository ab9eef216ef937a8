#!/bin/sh
# Make the initrd of a kernel that does not have built in what the guest's disk needs: the modules, a busybox to insert
# them, nothing else, so that it costs an emulated machine a second. Of a kernel that has it all built in, make none.
# Usage: initrd.sh ROOT VERSION FILE
set -eu
root=$1 version=$2 initrd=$3

modules=$(
    for module in nvme ext4; do
        chroot "$root" modprobe --set-version "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
)
[ -n "$modules" ] || exit 0

work=$root/tmp/initrd
mkdir -p "$work/dev" "$work/root" "$work/modules"
cp "$root/usr/bin/busybox" "$work/busybox"
number=10 # the order of the names is the order in which they depend on each other
for module in $modules; do
    case $module in
    *.xz) chroot "$root" busybox unxz -c "$module" > "$work/modules/$number-$(basename "$module" .xz)" ;;
    *) cp "$root/$module" "$work/modules/$number-$(basename "$module")" ;;
    esac
    number=$((number + 1))
done
cat > "$work/init" <<'INIT'
#!/busybox sh
/busybox mount -t devtmpfs dev /dev
# QEMU's disk says that there could be a second way to it. With multipath it has no queue, so no scheduler, of its own.
for module in /modules/*; do
    case $module in
    *-nvme-core.ko) /busybox insmod "$module" multipath=N ;;
    *) /busybox insmod "$module" ;;
    esac
done
until [ -b /dev/nvme0n1 ]; do /busybox usleep 20000; done
/busybox mount -t ext4 /dev/nvme0n1 /root
/busybox mount --move /dev /root/dev
exec /busybox switch_root /root /sbin/init
INIT
chmod 755 "$work/init"
chroot "$root" sh -c 'cd /tmp/initrd && find . | busybox cpio -o -H newc 2>/dev/null' > "$initrd"
rm -r "$work"
