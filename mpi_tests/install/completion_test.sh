#!/usr/bin/env bash
# Completes command lines of muster in bash, and compares with what its help says.
# Usage: completion_test.sh DIRECTORY_OF_MUSTER COMPLETION_FILE
set -euo pipefail
PATH=$1:$PATH
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-completion-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir ckpts ckpts/deeper other
touch ckpts/step_1.h5 ckpts/step_20.h5 ckpts/best ckpts/.step_3.h5 paths.txt
source "$2"

completed() { # completed WORD...: what the last word can become, sorted
  COMP_WORDS=(muster "$@")
  COMP_CWORD=$#
  _muster
  printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' '
}
require() { # require EXPECTED WORD...
  local expected=$1 found
  shift
  found=$(completed "$@")
  [ "$found" = "$expected" ] || {
    echo "FAILED: muster $*<TAB> gives \"$found\" and not \"$expected\"" >&2
    exit 1
  }
}

commands=$(muster help | sed -n 's/^  muster \([a-z-]*\) .*/\1/p')
[ "$(wc -w <<<"$commands")" -ge 7 ]
require "$(printf '%s\n' $commands --help --version | sort | paste -sd ' ')" ""
for command in $commands; do
  # Everything that the usage line of the command names is offered, and everything that is offered is accepted.
  offered=" $(completed "$command" --) "
  for option in $(muster "$command" --help | head -n 1 | grep -o -- '--[a-z0-9-]*') --help; do
    [[ $offered == *" $option "* ]] || {
      echo "FAILED: muster $command --<TAB> does not offer $option, but:$offered" >&2
      exit 1
    }
  done
  for option in $offered; do
    message=$(muster "$command" "$option" 2>&1) || true
    if [[ $message == *"unrecognised option"* ]]; then
      echo "FAILED: muster $command --<TAB> offers $option: $message" >&2
      exit 1
    fi
  done
done

require "show stats" s
require "--tag --tensors" show ckpts --t
require "ckpts other" ls ""
require "ckpts" show ck
require "ckpts/deeper ckpts/step_1.h5 ckpts/step_20.h5" show ckpts/
require "ckpts/deeper" latest ckpts/
require "step_1 step_20" show ckpts --tag ""
require "step_20" verify --json ckpts --tag step_2
require "step_20" verify ckpts --tag = step_2
require "step_1 step_20" verify ckpts --tag =
require "" show other --tag ""
touch 'other/$(touch run).h5'
require '\$\(touch\ run\)' show other --tag ""
[ ! -e run ]
require "paths.txt" dry-run ckpts --keys p
require "" dry-run ckpts --ranks ""
echo "completion: all as the help says"
