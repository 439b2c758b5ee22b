# shellcheck shell=bash
# What tests of the installed package share. Expects $scratch, an empty directory.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mpirun=$here/../../scripts/mpirun.sh
# shellcheck disable=SC2034 # is used where this is sourced
examples=$here/../../examples

# Nothing of what is tested obeys this.
export MUSTER_FAILPOINT=save.agree:throw,save.open:throw,load.find:throw,load.commit:throw

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

cached() { # cached BUILD_DIR NAME: a variable of a build tree
  sed -n "s/^$2:[A-Z]*=//p" "$1/CMakeCache.txt"
}

run_example() { # run_example PROGRAM MUSTER: saves on 2 ranks, and loads on as many
  rm -rf "$scratch/run"
  mkdir "$scratch/run"
  cd "$scratch/run" || exit
  "$mpirun" -n 2 "$1" >output || fail "$1"
  grep -q '^step ' output || fail "$1 printed: $(cat output)"
  "$2" verify ./*-ckpts || fail "$2 verify"
  "$mpirun" -n 2 "$1" >output || fail "$1 behind its last checkpoint"
  [ ! -s output ] || fail "$1 did not load its last checkpoint, and printed: $(cat output)"
  cd "$OLDPWD" || exit
}

run_stencil() { # run_stencil PROGRAM MUSTER: the same of examples/stencil.cpp, which also catches an error of the library
  run_example "$@"
  rm -rf "$scratch/run/stencil-ckpts"
  touch "$scratch/run/stencil-ckpts"
  if (cd "$scratch/run" && "$mpirun" -n 2 "$1" 2>errors); then fail "$1 saves to what is no directory"; fi
  grep '^stencil: .*stencil-ckpts' "$scratch/run/errors" || fail "$1 said: $(cat "$scratch/run/errors")"
}

# No file below a directory knows the name of the variable that arms fault points.
require_no_failpoints() {
  local files
  if files=$(grep -rlF MUSTER_FAILPOINT "$1"); then fail "fault points are in what was installed: $files"; fi
}

compile_with_pkg_config() { # compile_with_pkg_config MPICXX PREFIX PROGRAM: of the example that needs no LibTorch
  local flags
  flags=$(PKG_CONFIG_PATH="$2/lib/pkgconfig:$2/share/pkgconfig" pkg-config --cflags --libs muster) || fail "pkg-config"
  # shellcheck disable=SC2086 # a list of flags
  "$1" -std=c++20 "$examples/stencil.cpp" -o "$3" $flags || fail "$1 with the flags of pkg-config: $flags"
}
