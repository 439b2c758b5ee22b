#!/usr/bin/env bash
# Makes the Debian packages of a build tree, installs them, and builds an example of examples/ against them.
# As root: in a copy of the whole system that lasts as long as the test (an overlay in a mount namespace). Else, or where the
# system does not allow that, what they would install is unpacked below a directory.
# Usage: deb_test.sh BUILD_DIR
set -euo pipefail
if [ "${1-}" = --inside ]; then # in the copy of the system
  scratch=$2
  source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
  dpkg -i "$scratch"/*.deb >"$scratch/dpkg.log" 2>&1 || fail "dpkg -i: $(cat "$scratch/dpkg.log")"
  "$(dirname "$0")/deb_test.sh" --use "$scratch" /usr
  dpkg -r muster libmuster-dev muster-torch >"$scratch/dpkg.log" 2>&1 || fail "dpkg -r: $(cat "$scratch/dpkg.log")"
  [ ! -e /usr/include/muster ] || fail "removed packages leave /usr/include/muster"
  exit
fi
if [ "${1-}" = --use ]; then
  scratch=$2
  prefix=$3
  source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
  require_no_failpoints "$prefix/bin/muster"
  require_no_failpoints "$prefix/lib/libmuster.a"
  [ "$("$prefix/bin/muster" --version)" = "muster $(cat "$scratch/version")" ] || fail "muster --version"
  # CMake looks below /usr by itself.
  cmake -S "$examples" -B "$scratch/examples" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="${prefix#/usr}" \
    -DCMAKE_CXX_COMPILER_LAUNCHER="$(cat "$scratch/launcher")" >"$scratch/configure.log" ||
    fail "$(cat "$scratch/configure.log")"
  cmake --build "$scratch/examples" --target stencil
  run_stencil "$scratch/examples/stencil" "$prefix/bin/muster"
  exit
fi

build=$1
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-deb-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cached "$build" CMAKE_CXX_COMPILER_LAUNCHER >"$scratch/launcher"
cached "$build" CMAKE_PROJECT_VERSION >"$scratch/version"

(cd "$build" && cpack -G DEB -B "$scratch/made") >"$scratch/cpack.log" 2>&1 || fail "cpack: $(cat "$scratch/cpack.log")"
mv "$scratch"/made/*.deb "$scratch"
packages=("$scratch"/*.deb)
for package in "${packages[@]}"; do
  echo "$(dpkg-deb -f "$package" Package) $(dpkg-deb -f "$package" Version): $(dpkg-deb -f "$package" Depends)"
done

depends_on() { # depends_on PACKAGE NAME...: its Depends names all of these
  local package=$1 depends name
  shift
  depends=$(dpkg-deb -f "$scratch/$package"_*.deb Depends)
  for name in "$@"; do
    [[ ", $depends" == *", $name"* ]] || fail "$package does not depend on $name: $depends"
  done
}
mpi=openmpi
if ldd "$build/bin/muster" | grep -q mpich; then mpi=mpich; fi
depends_on muster libc6 "libhdf5-$mpi-" libboost-program-options
depends_on libmuster-dev "lib$mpi-dev" "libhdf5-$mpi-dev" nlohmann-json3-dev libspdlog-dev libxxhash-dev
if [ -e "$(echo "$scratch"/muster-torch_*.deb)" ]; then depends_on muster-torch 'libmuster-dev (= ' libtorch; fi
# Every package that they depend on is here or can be had.
apt-get --simulate --no-install-recommends install "${packages[@]}" >"$scratch/apt.log" 2>&1 || fail "apt-get: $(cat "$scratch/apt.log")"

in_copy_of_system() { # in_copy_of_system DIRECTORY SOURCES SCRATCH COMMAND...: as it is, but for what the command changes, which is forgotten
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --propagation private bash -euc '
    new=$1; shift
    mount -t tmpfs tmpfs "$new"
    mkdir "$new/upper" "$new/work" "$new/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$new/upper,workdir=$new/work" "$new/root"
    for directory in /proc /sys /dev; do mount --rbind "$directory" "$new/root$directory"; done
    for directory in "$1" "$2"; do mount --bind "$directory" "$new/root$directory"; done
    shift 2
    exec chroot "$new/root" "$@"' in_copy "$@"
}
source_dir=$(cd "$here/../.." && pwd)
mkdir "$scratch/system"
if [ "$(id -u)" -eq 0 ] && in_copy_of_system "$scratch/system" "$source_dir" "$scratch" true 2>"$scratch/overlay.log"; then
  in_copy_of_system "$scratch/system" "$source_dir" "$scratch" "$here/deb_test.sh" --inside "$scratch"
else
  echo "no copy of the system to install in ($(cat "$scratch/overlay.log" 2>/dev/null || echo "not root")): unpacked"
  for package in "${packages[@]}"; do dpkg-deb -x "$package" "$scratch/unpacked"; done
  "$here/deb_test.sh" --use "$scratch" "$scratch/unpacked/usr"
fi
