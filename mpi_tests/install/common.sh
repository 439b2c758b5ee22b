# shellcheck shell=bash
# What tests of the installed package share. Expects $scratch, an empty directory.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mpirun=$here/../../scripts/mpirun.sh

# Nothing of what is tested obeys this.
export MUSTER_FAILPOINT=save.agree:throw,save.open:throw,load.find:throw,load.commit:throw

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

cached() { # cached BUILD_DIR NAME: a variable of a build tree
  sed -n "s/^$2:[A-Z]*=//p" "$1/CMakeCache.txt"
}

run_consumer() { # run_consumer PROGRAM MUSTER: saves and loads on 2 ranks
  rm -rf "$scratch/ckpts"
  "$mpirun" -n 2 "$1" "$scratch/ckpts" || fail "$1"
  "$2" verify "$scratch/ckpts" || fail "$2 verify"
}

# No file below a directory knows the name of the variable that arms fault points.
require_no_failpoints() {
  local files
  if files=$(grep -rlF MUSTER_FAILPOINT "$1"); then fail "fault points are in what was installed: $files"; fi
}

compile_with_pkg_config() { # compile_with_pkg_config MPICXX PREFIX PROGRAM: of the consumer that needs no LibTorch
  local flags
  flags=$(PKG_CONFIG_PATH="$2/lib/pkgconfig:$2/share/pkgconfig" pkg-config --cflags --libs muster) || fail "pkg-config"
  # shellcheck disable=SC2086 # a list of flags
  "$1" -std=c++20 "$here/consumer/core_only.cpp" -o "$3" $flags || fail "$1 with the flags of pkg-config: $flags"
}
