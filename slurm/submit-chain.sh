#!/usr/bin/env bash
# Starts a chain of jobs, all with the same options of sbatch: see train-chained.sbatch.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: slurm/submit-chain.sh [SBATCH OPTIONS] -- COMMAND [ARGUMENTS]

Submits slurm/train-chained.sbatch with the training command. Each job submits the next, with the same options, until training
is done.

Example:
  slurm/submit-chain.sh --nodes=8 --ntasks-per-node=4 --time=12:00:00 -- muster-train --text book.txt --dir ckpts

To stop it: scancel --name=train-chain

Exit status: that of sbatch; 2 wrong usage.
TEXT
}

options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in -h | --help) usage && exit 0 ;; esac
  options+=("$1")
  shift
done
if [ $# -lt 2 ]; then
  echo "submit-chain: no training command behind -- (see --help)" >&2
  exit 2
fi
shift

quoted=
if [ ${#options[@]} -gt 0 ]; then quoted=$(printf '%q ' "${options[@]}"); fi
exec sbatch "${options[@]}" "$(dirname "${BASH_SOURCE[0]}")/train-chained.sbatch" --chain-options "$quoted" -- "$@"
