#!/usr/bin/env bash
# Sourced: makes folders that look like a LibTorch, for what a build does before it compiles anything.
# make_libtorch FOLDER VERSION [OPTIONS OF THE COMPILER]: with a version header, and libraries that take a std::string.
make_libtorch() {
  local folder=$1 version=$2
  shift 2
  local headers=$folder/include/torch/csrc/api/include/torch
  mkdir -p "$headers" "$folder/lib" "$folder/share/cmake/Torch" "$folder/include/c10/macros" "$folder/include/fmt"
  local major minor patch
  IFS=. read -r major minor patch <<<"$version"
  printf '#define TORCH_VERSION_MAJOR %s\n\n#define TORCH_VERSION_MINOR %s\n\n#define TORCH_VERSION_PATCH %s\n' \
    "$major" "$minor" "$patch" >"$headers/version.h"
  echo '#pragma once' | tee "$folder/include/c10/macros/cmake_macros.h" >"$headers/torch.h"
  echo '#error "the fmt of LibTorch"' >"$folder/include/fmt/format.h"
  local library
  for library in c10 torch_cpu torch_cuda torch; do
    printf '#include <string>\nnamespace c10 { void %s(const std::string&) {} }\n' "$library" |
      c++ -shared -fPIC "$@" -x c++ - -o "$folder/lib/lib$library.so"
  done
}
