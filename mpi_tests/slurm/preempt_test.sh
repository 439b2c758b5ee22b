#!/usr/bin/env bash
# Training that saves and stops when it has to, and goes on. Usage: preempt_test.sh BIN_DIRECTORY CASE, with CASE one of
#   preemption  by a job of a higher partition, without a grace time
#   grace       the same with a grace time, which begins with the job's own signal
#   warning     scancel --signal=USR1
#   save        scancel --signal=USR2: saves and goes on
#   requeue     scontrol requeue
#   self        scancel --signal=USR1, and muster-train itself puts the job back into the queue
#   limit       three time limits of a minute, in a chain
#   mpirun      scancel --signal=USR1 to the batch script of train-mpirun.sbatch, and the same line again
#   no-slurm    USR1 and TERM without Slurm: exit status 75, or 85 with --requeue
# No checkpoint is due by steps, so what it goes on from was saved because of the signal; and no step is done twice.
set -euo pipefail
cluster=(--kill-wait 10)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
export PATH=$bin:$PATH
template=$repository/slurm/train-preemptible.sbatch

steps=200
if [ "$2" = limit ]; then steps=6000; fi
log_every=1
training run --steps "$steps" --save-every 0

start() { # start ARGUMENTS...: sets job, which has done some steps
  job=$(sbatch --parsable --output=job.out "$template" "${train[@]}" "$@")
  hurry "$job" &
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
  ((saved >= 20 && saved < steps)) || say_and_fail "saved after step ${saved:-?}, and not because of the signal"
  [ "$saved" = "$resumed" ] || say_and_fail "saved after step $saved, resumed from ${resumed:-nothing}"
  each_step_once "$@"
  grep -h -E '^(saved|resumed|train-)' "$@"
}
ended() { # the job has ended well, and has lost nothing
  wait_for_end "$job" 120
  [ "$status" -eq 0 ] || say_and_fail "exit status $status"
  stopped_and_resumed job.out
}
preempt() { sbatch --parsable --partition=high --nodes=2 --exclusive --output=high.out --wrap "sleep 2"; }

case $2 in
  preemption) start && preempt && ended ;;
  grace)
    scontrol update PartitionName=low GraceTime=20
    start && preempt && ended
    ;;
  warning) start && scancel --signal=USR1 "$job" && ended ;;
  requeue) start && scontrol requeue "$job" && ended ;;
  self) start --requeue && scancel --signal=USR1 "$job" && ended ;;
  save)
    start && scancel --signal=USR2 "$job"
    wait_for_end "$job" 120
    [ "$status" -eq 0 ] || say_and_fail "exit status $status"
    [ "$(grep -c '^saved step_' job.out)" -eq 2 ] || say_and_fail "not saved twice, because of the signal and at the end"
    [ "$(grep -c '^train-preemptible.sbatch: start' job.out)" -eq 1 ] || say_and_fail "started again"
    each_step_once job.out
    ;;
  limit)
    "$repository/slurm/submit-chain.sh" --time=1 -- "${train[@]}"
    queue_is_empty() { ! squeue -h | grep -qs .; }
    wait_until 400 queue_is_empty
    [ "$(find . -name 'train-chain-*.out' | wc -l)" -ge 4 ] || say_and_fail "not over three time limits: more steps are needed"
    mapfile -t outputs < <(find . -name 'train-chain-*.out' | sort -t- -k3n)
    says "${outputs[-1]}" "train-chained.sbatch: done"
    each_step_once "${outputs[@]}"
    grep -h -E '^(saved|resumed|train-)' "${outputs[@]}"
    if grep -l "DUE TO TIME LIMIT" "${outputs[@]}"; then say_and_fail "did not stop before the time limit"; fi
    ;;
  mpirun)
    job=$(sbatch --parsable --output=first.out "$repository/slurm/train-mpirun.sbatch" "${train[@]}")
    wait_until 60 grep -qs '^step 20/' first.out
    scancel --batch --signal=USR1 "$job"
    wait_for_end "$job"
    [ "$status" -eq 75 ] || say_and_fail "exit status $status"
    submit --output=second.out "$repository/slurm/train-mpirun.sbatch" "${train[@]}"
    [ "$status" -eq 0 ] || say_and_fail "exit status $status"
    stopped_and_resumed first.out second.out
    ;;
  no-slurm)
    for ending in "USR1 75" "TERM 75" "USR1 85 --requeue"; do
      read -r signal expected option <<<"$ending"
      rm -rf run run.csv
      # shellcheck disable=SC2086
      "${train[@]}" $option >first.out &
      wait_until 60 grep -qs '^step 20/' first.out
      kill "-$signal" $!
      status=0
      wait $! || status=$?
      [ "$status" -eq "$expected" ] || say_and_fail "$signal $option: exit status $status, and not $expected"
      "${train[@]}" >second.out
      stopped_and_resumed first.out second.out
    done
    ;;
  *) say_and_fail "no case $2" ;;
esac

training whole --steps "$steps" --save-every 0
if [ "$2" = no-slurm ]; then "${train[@]}"; else srun --mpi=pmix -N 2 -n 4 "${train[@]}"; fi
compare_losses run whole "$steps"
"$bin/muster" verify --all "$scratch/run"
