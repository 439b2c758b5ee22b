#!/usr/bin/env bash
# Installs what muster is built, tested and shown with; does nothing where all of it is there.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/install-deps.sh [--check] [--mpich]

On Debian and Ubuntu: installs the missing ones of the packages that muster needs, as root or through `sudo -n`.
Elsewhere: checks for the tools and says what to install.

  --check   install nothing; only say what is missing
  --mpich   with MPICH instead of Open MPI, and without LibTorch and Slurm: what `scripts/test.sh --mpich` needs

Exit status: 0 nothing is missing (any more), 2 wrong usage, 3 something is missing and could not be installed.
TEXT
}

packages=(
  g++ cmake ninja-build ccache hdf5-tools
  libboost-program-options-dev nlohmann-json3-dev libspdlog-dev libxxhash-dev
  libgtest-dev libgmock-dev python3 python3-numpy python3-h5py e2fsprogs xfsprogs btrfs-progs
  pkgconf dpkg-dev file
)
openmpi_and_libtorch=(
  openmpi-bin libopenmpi-dev libhdf5-openmpi-dev libtorch-dev libopenblas0-pthread python3-h5py-mpi
  slurm-wlm munge iproute2 debootstrap python3-venv
)
mpich=(mpich libmpich-dev libhdf5-mpich-dev)

fail() {
  echo "install-deps: $*" >&2
  exit 3
}

check_tools() {
  local missing=()
  local tool
  for tool in c++ cmake ninja mpicxx mpirun h5dump python3; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  # Parallel HDF5 has its compiler wrapper h5pcc, or an h5cc that says so.
  if ! command -v h5pcc >/dev/null &&
    ! { command -v h5cc >/dev/null && h5cc -showconfig | grep -qi 'parallel hdf5: *\(yes\|on\)'; }; then
    missing+=("parallel HDF5 (h5pcc)")
  fi
  [ ${#missing[@]} -eq 0 ] && return
  local list
  list=$(printf '%s, ' "${missing[@]}")
  fail "not found: ${list%, }; install them with your package manager, and LibTorch, Boost.Program_options," \
    "nlohmann-json, spdlog, xxHash and GoogleTest if CMake does not find them"
}

check_only=0
with_mpich=0
for argument in "$@"; do
  case "$argument" in
    --check) check_only=1 ;;
    --mpich) with_mpich=1 ;;
    -h | --help) usage && exit 0 ;;
    *) echo "install-deps: unknown argument \"$argument\" (see --help)" >&2 && exit 2 ;;
  esac
done
if [ "$with_mpich" -eq 1 ]; then packages+=("${mpich[@]}"); else packages+=("${openmpi_and_libtorch[@]}"); fi

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  check_tools
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    check_only=1
  fi
fi
if [ "$check_only" -eq 1 ]; then
  fail "missing packages; run: sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}"
fi

echo "install-deps: installing ${missing[*]}"
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
"${apt_get[@]}" update </dev/null || fail "apt-get update failed"
"${apt_get[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null || fail "apt-get install failed"
