#!/usr/bin/env bash
# Training that saves and stops when it has to, and goes on. Usage: preempt_test.sh BIN_DIRECTORY CASE, with CASE one of
#   preemption  by a job of a higher partition, without a grace time
#   grace       the same with a grace time, which begins with the job's own signal
#   warning     scancel --signal=USR1
#   save        scancel --signal=USR2: saves and goes on
#   requeue     scontrol requeue
#   self        scancel --signal=USR1, and muster-train itself puts the job back into the queue
#   cancelled   scancel, with --requeue and without a template: not put back, for whoever cancels a job means it
#   limit       a time limit of a minute, in a chain of jobs, seen coming; in the long schedule three
#   mpirun      scancel --signal=USR1 to the batch script of train-mpirun.sbatch, and the same line again
#   no-slurm    USR1 and TERM without Slurm: exit status 75, or 85 with --requeue
# No checkpoint is due by steps, so what it goes on from was saved because of the signal; and no step is done twice.
set -euo pipefail
# Rank 0 asks Slurm about a cancelled job before it ends.
if [ "$2" = cancelled ]; then kill_wait=60; else kill_wait=10; fi
cluster=(--kill-wait "$kill_wait")
# The run that the chain is compared with runs beside its last job.
if [ "$2" = limit ]; then cluster+=(--cpus 4); fi
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &
export PATH=$bin:$PATH
template=$repository/slurm/train-preemptible.sbatch

log_every=1
training run --save-every 0

train_until "[ -e enough ]" run
declare -A started

# The run that the other is compared with.
launcher=(on_two_nodes)
reference=
start_reference() { # start_reference STEPS: sets reference, its process
  training whole --steps "$1" --save-every 0
  "${launcher[@]}" "${train[@]}" >whole.out 2>&1 &
  reference=$!
}

start() { # start ARGUMENTS...: sets job, which has done some steps
  job=$(sbatch --parsable --nodes=2 --output=job.out "$template" "${train[@]}" "$@")
  wait_until 60 grep -qs '^step 20/' job.out
}
# What is printed of each step shows what was done twice.
each_step_once() { # each_step_once FILE...
  local twice
  twice=$(sed -n 's|^step \([0-9]*\)/.*|\1|p' "$@" | sort -n | uniq -d | tr '\n' ' ')
  [ -z "$twice" ] || say_and_fail "done twice: steps $twice"
}
stopped_and_resumed() { # stopped_and_resumed FILE...: what was saved last is what was loaded
  local saved resumed
  saved=$(sed -n 's/^saved step_\([0-9]*\):.*/\1/p' "$@" | head -n 1)
  resumed=$(sed -n 's/^resumed from step_\([0-9]*\):.*/\1/p' "$@" | head -n 1)
  ((saved >= 20)) || say_and_fail "saved after step ${saved:-?}, and not because of the signal"
  [ "$saved" = "$resumed" ] || say_and_fail "saved after step $saved, resumed from ${resumed:-nothing}"
  each_step_once "$@"
  grep -h -E '^(saved|resumed|train-)' "$@"
}
ended() { # ended [SECONDS]: the job has ended well, has lost nothing, and was saved so many seconds after the signal
  wait_for_end "$job" 120
  [ "$status" -eq 0 ] || say_and_fail "exit status $status"
  stopped_and_resumed job.out
  if [ $# -gt 0 ]; then saved_within "$1"; fi
}
saved_within() {
  python3 - run/history.jsonl "$signalled" "$1" <<'PY'
import datetime, json, sys
signalled_s, grace_s = map(float, sys.argv[2:])
save = next(s for s in map(json.loads, open(sys.argv[1])) if "came to rank" in s["reason"])
ended = datetime.datetime.strptime(save["ended_at"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
took_s = ended - signalled_s
print(f"{save['reason']}: published after {took_s:.2f} s, of which the save took {save['total_s']:.3f} s; {grace_s - took_s:.1f} s were left")
assert took_s < grace_s
PY
}
# What the run printed as it saw the end coming, against what its saves then took.
fitted() { # fitted COUNT FILE...: every save before the job's end; so many there are
  local count=$1
  shift
  sed -n 's/^saving after step \([0-9]*\): the job ends in .*; \([0-9.]*\) s of the job are left.*/\1 \2/p' "$@" >left
  python3 - run/history.jsonl left "$count" <<'PY'
import json, sys
left_s = {int(step): float(left) for step, left in map(str.split, open(sys.argv[2]))}
saves = [s for s in map(json.loads, open(sys.argv[1])) if s["reason"].startswith("the job ends in")]
assert len(saves) == int(sys.argv[3]), f"not saved {sys.argv[3]} times because of the job's end: {[s['step'] for s in saves]}"
for save in saves:
    left = left_s[save["step"]]
    print(f"{save['tag']}: the save took {save['total_s']:.3f} s, and {left:.1f} s of the job were left")
    assert save["outcome"] == "published" and save["total_s"] < left
PY
}
signal() { # signal COMMAND...: remembers when; the next start is the last
  touch enough
  signalled=$(date +%s.%N)
  "$@"
}
preempt() { sbatch --parsable --partition=high --nodes=2 --exclusive --output=high.out --wrap "sleep 2"; }

case $2 in
  preemption)
    start && signal preempt && ended 10 # KillWait
    if /usr/bin/python3 -c "import matplotlib" 2>/dev/null; then
      "$repository/scripts/draw-timeline" run -o timeline.svg
      for what in "start 1: job $job (restart 0) on n1" "start 2: job $job (restart 1) on n1" "came to rank" "started again"; do
        says timeline.svg "$what"
      done
    fi
    ;;
  grace)
    scontrol update PartitionName=low GraceTime=20
    start && signal preempt && ended 20
    ;;
  warning) start && signal scancel --signal=USR1 "$job" && ended 120 ;; # as in the template
  requeue) start && signal scontrol requeue "$job" && ended 10 ;;
  self) start --requeue && signal scancel --signal=USR1 "$job" && ended 120 ;;
  cancelled)
    cat >job.sh <<'SH'
#!/bin/bash
trap : TERM
srun --mpi=pmix "$@"
echo "ended with $?"
SH
    job=$(sbatch --parsable --requeue -N 2 -n 4 --output=job.out job.sh "${train[@]}" --requeue)
    wait_until 60 grep -qs '^step 20/' job.out
    signal scancel "$job"
    wait_until 60 grep -q '^ended with' job.out
    says job.out "job $job is not requeued: it was cancelled"
    says job.out "ended with 75"
    wait_for_end "$job" 60
    says <(scontrol show job "$job") "JobState=CANCELLED"
    on_two_nodes "${train[@]}" >resumed.out
    stopped_and_resumed job.out resumed.out
    ;;
  save)
    start && scancel --signal=USR2 "$job"
    wait_until 60 grep -q '^saved step_' job.out
    saved=$(newest_step run)
    wait_until 60 grep -q "^step $((saved + 20))/" job.out
    # Each of four ranks gets it, and those of two nodes may get it some of these short steps apart.
    saves=$(grep -c '^saved step_' job.out)
    [ "$saves" -ge 1 ] && [ "$saves" -le 4 ] || say_and_fail "saved $saves times for a signal to four ranks"
    [ "$(grep -c '^saving after step .*SIGUSR2 came to rank' job.out)" -eq "$saves" ] || say_and_fail "saved for another reason"
    [ "$(grep -c '^train-preemptible.sbatch: start' job.out)" -eq 1 ] || say_and_fail "started again"
    signal scancel --signal=USR1 "$job"
    wait_for_end "$job" 120
    [ "$status" -eq 0 ] || say_and_fail "exit status $status"
    [ "$(grep -c '^saved step_' job.out)" -eq $((saves + 2)) ] || say_and_fail "not saved twice more, to stop and at the end"
    each_step_once job.out
    ;;
  limit)
    training run --save-every 0
    limits=$(long_or 3 1)
    # The last job gets more time, on a busy machine it needs it. Long steps: there are fewer to compare.
    export MUSTER_TEST_PAUSE=long_pause
    train_until "[ \"\$MUSTER_CHAIN_LINK\" -gt $limits ] && { scontrol update JobId=\"\$SLURM_JOB_ID\" TimeLimit=10; true; }" run
    # No signal that the ranks know, so that it is the job's end that they see coming.
    MUSTER_DIR=$scratch/run "$repository/slurm/submit-chain.sh" --time=1 --signal=CONT@1 -- "${train[@]}"
    have_saved() { [ "$(cat train-chain-*.out 2>/dev/null | grep -c '^saved step_')" -ge "$limits" ]; }
    wait_until 400 have_saved
    # The last job has begun, or will soon: how far it comes is known.
    start_reference $(($(newest_step run) + 20))
    is_over() {
      local names
      names=$(squeue -h -o %j) && ! grep -q train-chain <<<"$names"
    }
    wait_until 120 is_over
    mapfile -t outputs < <(find . -name 'train-chain-*.out' | sort -t- -k3n)
    grep -h -E '^(saving|saved|resumed|train-)' "${outputs[@]}"
    [ ${#outputs[@]} -eq $((limits + 1)) ] || say_and_fail "${#outputs[@]} jobs, and not $((limits + 1))"
    says "${outputs[-1]}" "train-chained.sbatch: done, in $((limits + 1)) jobs"
    each_step_once "${outputs[@]}"
    if grep -l "DUE TO TIME LIMIT" "${outputs[@]}"; then say_and_fail "did not stop before the time limit"; fi
    fitted "$limits" "${outputs[@]}"
    ;;
  mpirun)
    job=$(sbatch --parsable --output=first.out "$repository/slurm/train-mpirun.sbatch" "${train[@]}")
    wait_until 60 grep -qs '^step 20/' first.out
    signal scancel --batch --signal=USR1 "$job"
    wait_for_end "$job"
    [ "$status" -eq 75 ] || say_and_fail "exit status $status"
    submit --output=second.out "$repository/slurm/train-mpirun.sbatch" "${train[@]}"
    [ "$status" -eq 0 ] || say_and_fail "exit status $status"
    stopped_and_resumed first.out second.out
    ;;
  no-slurm)
    launcher=()
    # All at once, each in a directory of its own.
    endings=("usr1 USR1 75" "term TERM 75" "run USR1 85 --requeue")
    for ending in "${endings[@]}"; do
      read -r name signal expected option <<<"$ending"
      training "$name" --save-every 0
      train_until "[ -e enough ]" "$name"
      # shellcheck disable=SC2086
      "${train[@]}" $option >"$name.first" &
      started[$name]=$!
    done
    for name in "${!started[@]}"; do wait_until 60 grep -qs '^step 20/' "$name.first"; done
    touch enough
    for ending in "${endings[@]}"; do
      read -r name signal expected option <<<"$ending"
      kill "-$signal" "${started[$name]}"
    done
    for ending in "${endings[@]}"; do
      read -r name signal expected option <<<"$ending"
      status=0
      wait "${started[$name]}" || status=$?
      [ "$status" -eq "$expected" ] || say_and_fail "$signal $option: exit status $status, and not $expected"
      training "$name" --save-every 0
      train_until "[ -e enough ]" "$name"
      "${train[@]}" >"$name.second" &
      started[$name]=$!
    done
    for name in "${!started[@]}"; do
      wait "${started[$name]}" || say_and_fail "$name: exit status $?"
      stopped_and_resumed "$name.first" "$name.second"
    done
    ;;
  *) say_and_fail "no case $2" ;;
esac

steps=$(newest_step run)
[ -n "$reference" ] || start_reference "$steps"
wait "$reference" || say_and_fail "exit status $? of the reference"
compare_losses run whole "$steps"
"$bin/muster" verify --all "$scratch/run"
