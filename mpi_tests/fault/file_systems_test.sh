#!/usr/bin/env bash
# The tests of both engines and of full disks on file systems of their own, each on a loop device.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: file_systems_test.sh LAUNCHER PARALLEL_TESTS FAULT_TESTS FILE_SYSTEM

Makes a FILE_SYSTEM (ext4, xfs, btrfs, tmpfs, or ext2, which cannot reserve space) in a file, mounts it, and runs both tests there on 3 ranks: once with
room, once with all but 16 MiB taken. Exit status: 0 passed, 77 this machine does not allow it, else failed.
TEXT
}

if [ $# -ne 4 ]; then
  usage >&2
  exit 2
fi
launcher=$1 parallel_tests=$2 fault_tests=$3 file_system=$4

skip() {
  echo "skipped: $*"
  exit 77
}

[ "$(id -u)" -eq 0 ] || skip "mounting needs root"
work=$(mktemp -d)
mounted=
cleanup() {
  [ -z "$mounted" ] || umount "$work/mount"
  rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/mount"

if [ "$file_system" = tmpfs ]; then
  mount -t tmpfs -o size=500m tmpfs "$work/mount" || skip "no tmpfs may be mounted here"
else
  command -v "mkfs.$file_system" >/dev/null || skip "there is no mkfs.$file_system"
  truncate -s 500M "$work/image"
  options=()
  [[ "$file_system" = ext[24] ]] && options=(-m 0) # else root has blocks beyond what is "available"
  "mkfs.$file_system" -q "${options[@]}" "$work/image" >/dev/null 2>"$work/mkfs.log" || skip "$(tail -n 1 "$work/mkfs.log")"
  mount -o loop "$work/image" "$work/mount" 2>"$work/mount.log" || skip "$(tail -n 1 "$work/mount.log")"
fi
mounted=1

echo "== $file_system with room"
MUSTER_TEST_DIR=$work/mount "$launcher" -n 3 "$parallel_tests" --file=engine_test

# btrfs gives back what was removed some time later: what is left is looked at again until it stays.
left_kib=$((16 * 1024))
for look in 1 2 3 4 5; do
  sync -f "$work/mount"
  available_kib=$(df --output=avail -k "$work/mount" | tail -n 1)
  ballast_kib=$((available_kib - left_kib))
  if [ "$ballast_kib" -gt 1024 ]; then
    fallocate -l "${ballast_kib}KiB" "$work/mount/ballast.$look" 2>/dev/null ||
      dd if=/dev/zero of="$work/mount/ballast.$look" bs=1K count="$ballast_kib" status=none
  fi
  [ "$file_system" = btrfs ] || break
  sleep 1
done
echo "== $file_system with $(df --output=avail -k "$work/mount" | tail -n 1) KiB left"
mkdir "$work/mount/small"
MUSTER_TEST_DIR=$work/mount MUSTER_TEST_SMALL_DISK=$work/mount/small \
  "$launcher" -n 3 "$fault_tests" --gtest_filter='*AFullDisk*'
