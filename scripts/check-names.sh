#!/usr/bin/env bash
# Finds names that the glossary (docs/concepts.md) has replaced, in code, messages, tests, scripts and pages.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/check-names.sh

Prints each line of the checkout that has a replaced name, in any spelling (Name, name_, NAME). docs/decisions.md, the
changelog and dated measurements may name them. Needs git.

Exit status: 0 none, 1 some, 2 wrong usage, 77 this is not a git checkout.
TEXT
}

case "${1-}" in
  "") ;;
  -h | --help) usage && exit 0 ;;
  *) echo "check-names.sh: unknown argument \"$1\" (see --help)" >&2 && exit 2 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1 || exit 77

# In any spelling; then those that are ordinary words as well, as names of types alone.
replaced='choir|verdict|rank_?tale|\btales?\b|settlement|settling|\bwish(es)?\b|want_portions|roll_?call|handover|\bfillers?\b|rehears|muster_room|\brooms\b|\btiles?\b|\btiling\b|async_?saver|staged_?write'
types='\b(Voice|Patience|Want|Pace|Turn|Places|Holder|Standing|Claim|Saying|Choice)\b'
files=(. ':!docs/decisions.md' ':!docs/benchmarks' ':!CHANGELOG.md' ':!scripts/check-names.sh')

found=0
git -c safe.directory='*' grep -nIiE "$replaced" -- "${files[@]}" && found=1
git -c safe.directory='*' grep -nIE "(class|struct|enum class) $types" -- '*.cpp' '*.hpp' && found=1
[ "$found" -eq 0 ] || echo "check-names.sh: these names have been replaced; docs/concepts.md has the terms" >&2
exit "$found"
