# shellcheck shell=bash
# Sourced in the checkout's folder: sets launcher, the options of CMake for the compiler cache, where there is one. It serves every
# checkout: paths below this one are taken relative to it, and its own path does not count.
launcher=()
if command -v ccache >/dev/null; then
  # shellcheck disable=SC2034  # is used where this is sourced
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$PWD}" CCACHE_NOHASHDIR="${CCACHE_NOHASHDIR:-1}"
  export CCACHE_SLOPPINESS="${CCACHE_SLOPPINESS:-pch_defines,time_macros,include_file_mtime,include_file_ctime}"
fi
