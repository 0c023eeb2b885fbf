#!/bin/bash
# First process of the user-mode kernel that tests/system/uml.py starts. The root is this machine's own, read-only;
# what must be written lies on tmpfs and is gone with the kernel. The network is the kernel's own loopback.
# From the kernel's command line: MODULES, PYTHON, CHECKOUT, INPUT, KIND, TRIAL.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/tmp PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
for folder in /run /srv /mnt /var/log /var/cache/samba /var/lib/samba /var/lib/nfs /etc/samba; do
    mount -t tmpfs tmpfs "$folder" || echo "fault: $folder cannot be mounted"
done
mkdir -p /run/tmp /run/samba /var/lib/samba/private /var/lib/nfs/v4recovery /var/log/samba
mount -t tmpfs tmpfs /dev/shm 2>/dev/null
ip link set lo up

load() { modprobe -q -d "$MODULES" "$1" || [ -n "$2" ] || echo "fault: no kernel module $1"; }
for cipher in cmac hmac md5 md4 sha256_generic sha512_generic aes_generic ccm gcm ecb ctr ghash_generic nls_utf8; do
    load "$cipher" optional
done
if [ "$KIND" = nfs ]; then
    load nfsd; load nfs; load nfsv4
    mount -t nfsd nfsd /proc/fs/nfsd
    mkdir -p /run/rpc_pipefs && mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
else
    load cifs
fi

cd "$CHECKOUT" && "$PYTHON" -m tests.system.uml_trial "$KIND" "$TRIAL" 2>&1
echo "ended: $?"
echo o >/proc/sysrq-trigger
sleep 10
