#!/usr/bin/env bash
# Shows muster at work on a real text: train, be killed, resume, and look at what was saved. Checks what it claims.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/quickstart.sh [TEXT] [--dir DIR]

Installs what is missing, builds muster, muster-train and the libraries (all that `cmake --install build/release` needs),
then, on 2 ranks and in a fresh directory:
  1. trains a small GPT on TEXT without interruption,
  2. trains it again, killed by SIGKILL in the middle,
  3. resumes the killed run: the same losses, bit for bit,
  4. resumes it on 4 ranks: the same losses, but for rounding,
  5. any grid to any grid: trains on 2 x 2 ranks (data and tensor parallel), and resumes that on 4 tensor parallel ranks
     and on 1 rank: the same losses, but for rounding,
  6. looks at the checkpoints with muster and with h5dump.

  TEXT       any file of some kilobytes (default: a licence text of the system, or LICENSE of this repository)
  --dir DIR  where the runs go (default: ./quickstart-run); emptied first if a quickstart made it

Exit status: 0 all of it holds, 1 something does not, 2 wrong usage, 3 a package is missing.
END
}

usage_error() {
  echo "quickstart: $* (see --help)" >&2
  exit 2
}

text=
run_dir=
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --dir)
      [ -n "${2-}" ] || usage_error "--dir needs a directory"
      run_dir=$(realpath -m -- "$2")
      shift
      ;;
    -*) usage_error "unknown option \"$1\"" ;;
    *)
      [ -z "$text" ] || usage_error "one text at a time"
      text=$(realpath -m -- "$1")
      if [ ! -f "$text" ] || [ ! -r "$text" ]; then usage_error "cannot read \"$1\""; fi
      ;;
  esac
  shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${run_dir:=$PWD/quickstart-run}"
if [ -z "$text" ]; then
  text=/usr/share/common-licenses/GPL-3
  [ -r "$text" ] || text=$PWD/LICENSE
fi
marker=$run_dir/.made-by-muster-quickstart
if [ -d "$run_dir" ] && [ ! -e "$marker" ] && [ -n "$(ls -A "$run_dir")" ]; then
  usage_error "$run_dir is not empty and no quickstart made it; name another directory with --dir"
fi

heading() { printf '\n== %s\n' "$*"; }
# Shows a command as a user would type it, then runs it.
run() {
  printf '\n$ %s\n' "$*"
  "$@"
}
fail() {
  echo "quickstart: FAILED: $*" >&2
  exit 1
}

heading "Install what is missing, build"
scripts/install-deps.sh
run cmake --preset release
run cmake --build --preset release -j "$(nproc)" --target muster muster-train muster_libraries

rm -rf "$run_dir"
mkdir -p "$run_dir"
touch "$marker"
SECONDS=0
# Programs by their names from here on, files by names relative to the run's directory.
export PATH="$PWD/scripts:$PWD/build/release/bin:$PATH"
cd "$run_dir"
echo
echo "Programs are in build/release/bin, mpirun.sh in scripts; the runs are in $run_dir"

steps=100
save_every=20
crash_at=70
resumed_from=60
options=(--text "$text" --steps "$steps" --save-every "$save_every" --keep-last 5)

heading "1. Train on 2 ranks, uninterrupted, a checkpoint every $save_every steps"
run mpirun.sh -n 2 muster-train "${options[@]}" --dir reference --loss-log reference.csv ||
  fail "the uninterrupted run did not finish"

heading "2. The same, but every rank is killed with SIGKILL after step $crash_at"
status=0
run mpirun.sh -n 2 muster-train "${options[@]}" --dir killed --loss-log killed.csv --crash-at "$crash_at" || status=$?
echo "exit status $status"
[ "$status" -eq 137 ] || fail "the run was to die by SIGKILL, with exit status 137"
run muster ls killed || fail "the killed run left nothing to look at"
run cp -r killed on-4-ranks
cp killed.csv on-4-ranks.csv

heading "3. Resume on 2 ranks: the newest checkpoint is found by itself"
run mpirun.sh -n 2 muster-train "${options[@]}" --dir killed --loss-log killed.csv || fail "the run did not resume"

# Of the losses after the resume: how many are the same text in both logs, how many there are in the first, and the
# largest relative difference.
compare_losses() {
  awk -F, -v from="$resumed_from" '
    FNR == 1 || $1 + 0 <= from { next }
    $2 + 0 <= 0 { next } # not a number
    NR == FNR { loss[$1] = $2; count++; next }
    $1 in loss {
      compared++
      if (loss[$1] "" == $2 "") same++
      difference = ($2 - loss[$1]) / loss[$1]
      if (difference < 0) difference = -difference
      if (difference > largest) largest = difference
    }
    END { printf "%d %d %d %.2e\n", same, compared, count, largest }' "$1" "$2"
}
read -r same _ count _ < <(compare_losses reference.csv killed.csv)
echo
echo "identical: $same of $count losses after the resume"
[ "$count" -eq $((steps - resumed_from)) ] || fail "the uninterrupted run has $count losses after step $resumed_from"
[ "$same" -eq "$count" ] || fail "losses of the resumed run differ from those of the uninterrupted one"
run cmp reference.csv killed.csv || fail "the log of the resumed run does not read like that of the uninterrupted one"
for part in model optimizer; do
  run h5diff "reference/step_$steps.h5" "killed/step_$steps.h5" "/$part" ||
    fail "/$part of the last checkpoints differs"
done
echo "(no output: model and optimizer are equal, too)"

heading "4. Resume the same checkpoint on 4 ranks"
run mpirun.sh -n 4 muster-train "${options[@]}" --dir on-4-ranks --loss-log on-4-ranks.csv ||
  fail "the run did not resume on 4 ranks"
bound=1e-4
# Of a resumed run, against one that was never interrupted: all losses are there, and within the bound.
require_rounding() { # require_rounding UNINTERRUPTED.csv RESUMED.csv WHERE
  read -r _ compared count largest < <(compare_losses "$1" "$2")
  echo
  echo "largest relative difference: $largest in $compared of $count losses after the resume (allowed: $bound)"
  if [ "$count" -ne $((steps - resumed_from)) ] || [ "$compared" -ne "$count" ]; then
    fail "losses are missing from the log of the run $3"
  fi
  awk -v largest="$largest" -v bound="$bound" 'BEGIN { exit !(largest <= bound) }' ||
    fail "losses $3 differ by more than rounding"
}
require_rounding reference.csv on-4-ranks.csv "on 4 ranks"

heading "5. Any grid to any grid: train on 4 ranks, 2 data x 2 tensor parallel, each with half of every layer"
run mpirun.sh -n 4 muster-train "${options[@]}" --dp 2 --tp 2 --dir grid --loss-log grid.csv ||
  fail "the run on 2 x 2 ranks did not finish"
tag=step_$resumed_from
for to in "4 --tp 4" "1"; do
  read -ra ranks <<<"$to"
  name=grid-to-${ranks[0]}
  heading "Resume its $tag with: -n $to"
  run cp -r grid "$name"
  cp grid.csv "$name.csv"
  run mpirun.sh -n "${ranks[0]}" muster-train "${options[@]}" "${ranks[@]:1}" --dir "$name" --loss-log "$name.csv" \
    --resume "$tag" || fail "the run did not resume with -n $to"
  require_rounding grid.csv "$name.csv" "with -n $to"
done

heading "6. Look at the checkpoints"
run muster ls killed || fail "muster ls"
run muster verify killed --all || fail "muster verify"
run muster latest killed || fail "muster latest"
[ "$(muster latest killed)" = "step_$steps" ] || fail "the latest checkpoint is not step_$steps"

heading "A checkpoint is one standard HDF5 file"
file=killed/step_$steps.h5
printf '\n$ h5dump -H %s | head -n 40\n' "$file"
h5dump -H "$file" | sed -n 1,40p || fail "h5dump -H"
run h5dump -d /user_content "$file" || fail "h5dump -d /user_content"

heading "All of it holds; $SECONDS s after the build"
echo "Go on training with: scripts/mpirun.sh -n 2 build/release/bin/muster-train --help"
