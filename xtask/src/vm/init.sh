#!/bin/sh
# The first process of a test guest: runs the tests that the kernel's command line names, says what
# came of them on the second serial port, and ends the guest. The first port is the kernel's.
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir /dev/pts /dev/net
mount -t devpts pts /dev/pts
# udev would make it.
mknod /dev/net/tun c 10 200
# Loaded at first use, by two at a time, busybox's modprobe has one of them go on too early.
for module in bridge veth sch_ingress cls_bpf cls_u32 macvlan tun; do
    modprobe "$module"
done
# libpcap compiles a filter for VLAN tags on a device that is up.
ip link set lo up
exec </dev/null >/dev/ttyS1 2>&1
# A flood that large takes an emulated machine minutes; a smaller one states the same facts.
# tshark is too large for a guest.
/netns --test-threads=2 --skip docker:: --skip capture::readers:: --skip two_hundred_thousand "$@"
echo "nstrace-vm: $? $(uname -r)"
# QEMU ends instead of starting anew.
reboot -f
