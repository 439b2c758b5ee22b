#!/usr/bin/env bash
# Checks the form of the sources: clang-format on all of them, clang-tidy on those that do not include LibTorch
# (clang-tidy 14 cannot parse LibTorch 1.13 as C++20).
set -euo pipefail
case "${1:-}" in
  -h | --help)
    sed -n '2,3s/^# //p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
for tool in clang-format clang-tidy; do
  command -v "$tool" >/dev/null || { echo "lint.sh: $tool is not installed (apt-get install clang-format clang-tidy)"; exit 3; }
done

mapfile -t sources < <(git ls-files '*.cpp' '*.hpp')
clang-format --dry-run -Werror "${sources[@]}"
echo "clang-format: ${#sources[@]} files are clean"

cmake -S . -B build/lint -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DMUSTER_TORCH=OFF -DMUSTER_FAILPOINTS=ON >/dev/null
mapfile -t units < <(sed -n 's/^  "file": "\(.*\)",\{0,1\}$/\1/p' build/lint/compile_commands.json | grep '/src/' | sort -u)
printf '%s\0' "${units[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build/lint --quiet 2>/dev/null
echo "clang-tidy: ${#units[@]} files are clean"
