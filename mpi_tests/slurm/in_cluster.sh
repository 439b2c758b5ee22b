#!/usr/bin/env bash
# Sourced by the tests, with the directory of the programs as $1 and options for slurm/local-cluster.sh in ${cluster[@]}:
# starts the test again inside a cluster of its own, which ends with it, and gives it what follows.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
bin=$(cd "$1" && pwd)
# shellcheck disable=SC2154  # cluster is set where this is sourced
if [ -z "${MUSTER_TEST_CLUSTER-}" ]; then
  export MUSTER_TEST_CLUSTER=yes
  exec "$repository/slurm/local-cluster.sh" run "${cluster[@]}" bash "$0" "$@"
fi

# A folder for what the test leaves, in which it stands; if it fails, that is shown.
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-slurm-XXXXXX")
cd "$scratch" || exit 1
at_end() {
  local status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 40 "$scratch"/*.out "$scratch"/*/*.out "$(dirname "$(dirname "$SLURM_CONF")")/log/slurmctld.log" || true
  fi
  rm -rf "$scratch"
  exit "$status"
}
trap at_end EXIT

say_and_fail() {
  echo "$*"
  exit 1
}

text=/usr/share/common-licenses/GPL-3
[ -r "$text" ] || text=$repository/LICENSE
# training RUN ARGUMENTS...: sets train, the command of a small training run with checkpoints and losses of
# that name, which prints every step of ${log_every}.
training() {
  local run=$1
  shift
  # shellcheck disable=SC2034  # is used where this is sourced
  train=("$bin/muster-train" --text "$text" --batch 4 --context 32 --layers 2 --width 32 --heads 2 --lr 0.002 --seed 5
    --dir "$scratch/$run" --loss-log "$scratch/$run.csv" --log-every "${log_every:-1000}" "$@")
}

# on_two_nodes COMMAND...: on as many ranks as those of the template on two nodes, 4 by default, and lying on them alike. With -n 4
# Slurm gives one node three of them, and Open MPI 5 adds up in an order that depends on who shares a node: the losses would differ
# in the last digits.
on_two_nodes() { srun --mpi=pmix -N 2 --ntasks-per-node="${MUSTER_RANKS_PER_NODE:-2}" "$@"; }

# train_until CONDITION RUN: makes train, the command of a training run without --steps, one that never ends, but for starts at
# which the condition holds: these do 20 steps more than are saved. So no test has to interrupt a run before it is done. Each step
# pauses (where fault points are compiled in), which leaves the processors to other tests, and few steps to the run that it is
# compared with.
train_until() {
  # Once: what runs may be reading it still.
  [ -e train_until.sh ] || cat >train_until.sh <<'SH'
#!/bin/bash
# train_until.sh CONDITION DIR COMMAND
steps=1000000
if eval "$1"; then newest=$(muster latest "$2") && steps=$((${newest#step_} + 20)); fi
shift 2
export MUSTER_FAILPOINT=train.step:${MUSTER_TEST_PAUSE:-pause}
exec "$@" --steps $steps
SH
  chmod +x train_until.sh
  train=(./train_until.sh "$1" "$scratch/$2" "${train[@]}")
}
newest_step() { # newest_step RUN: the step of its newest checkpoint
  local tag
  tag=$("$bin/muster" latest "$scratch/$1" 2>/dev/null) && echo "${tag#step_}"
}
reached() { # reached RUN STEP: a checkpoint of that step or a later one is published
  local tag
  # By the pointer, without a program: tests ask again and again.
  { read -r tag <"$scratch/$1/latest"; } 2>/dev/null && [ "${tag#step_}" -ge "$2" ]
}

# Waits until a command succeeds. It looks less often the longer it waits: what looks takes the processor from what is waited for.
wait_until() { # wait_until SECONDS COMMAND...: SECONDS as on a machine with nothing else to do; gives up after three times as many
  local seconds=$((3 * $1)) tries=0
  local end=$((SECONDS + seconds))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || say_and_fail "after $seconds s still not so: $*"
    if ((++tries < 10)); then sleep 0.1; else sleep 0.4; fi
  done
}

# Submits a job and waits for its end, also over restarts: sets job, and status to its exit status. (sbatch --wait looks but
# every ten seconds.)
submit() { # submit SBATCH_ARGUMENTS...
  job=$(sbatch --parsable "$@")
  wait_for_end "$job"
}
wait_for_end() { # wait_for_end JOB [SECONDS]
  wait_until "${2:-120}" has_ended "$1"
  # shellcheck disable=SC2034
  status=$(scontrol show job "$1" | sed -n 's/.* ExitCode=\([0-9]*\):.*/\1/p')
}
has_ended() { scontrol show job "$1" | grep -qE 'JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|PREEMPTED|BOOT_FAIL) '; }

says() { # says FILE TEXT: the file has the text
  grep -qF -- "$2" "$1" || say_and_fail "$1 does not say '$2'"
}

# Slurm lets a requeued job wait for six seconds; this makes them three for every job, until the cluster ends. (Soon after its end
# a slurmd may take the new start for the old one, and refuse it, "Job credential revoked", or kill it.)
hurry_requeued() {
  local job waiting now_us cluster
  local -A since_us=()
  cluster=$(dirname "$(dirname "$SLURM_CONF")")
  while sleep 0.5; do
    # Of each job that it requeues slurmctld says so: where it said nothing, there is nothing new to ask for.
    [ ${#since_us[@]} -gt 0 ] || [ "$cluster/log/slurmctld.log" -nt "$cluster/run/asked" ] || continue
    echo >"$cluster/run/asked"
    waiting=$(squeue -h -t PENDING -o '%i %r' 2>/dev/null | sed -n 's/ BeginTime$//p') || continue
    now_us=${EPOCHREALTIME/[.,]/}
    for job in "${!since_us[@]}"; do
      grep -qx "$job" <<<"$waiting" || unset "since_us[$job]"
    done
    for job in $waiting; do
      ((now_us - ${since_us[$job]:=$now_us} > 3000000)) || continue
      scontrol update JobId="$job" StartTime=now 2>/dev/null || true
      unset "since_us[$job]" # it may end and be requeued before the next look, and waits its three seconds then, too
    done
  done
}

# long_or LONG SHORT: the first in the long schedule (scripts/test.sh --long), else the second, which is that of every commit.
long_or() { if [ -n "${MUSTER_TEST_LONG-}" ]; then echo "$1"; else echo "$2"; fi; }

# lose_node NODE: all that runs there is killed. Slurm would find out after 16 s, in which the ranks of other nodes wait with all
# their processor time; it is told at once, as by what watches over the nodes of a cluster, but in the long schedule.
# An answer that the node gave before may come later, and the node is back in service with it; but not a node that is drained.
lose_node() {
  "$repository/slurm/local-cluster.sh" kill-node "$1"
  [ -z "${MUSTER_TEST_LONG-}" ] || return 0
  scontrol update NodeName="$1" State=DRAIN Reason="lost"
  scontrol update NodeName="$1" State=DOWN Reason="lost"
}
# start_node NODE: switches a lost node on again.
start_node() {
  "$repository/slurm/local-cluster.sh" start-node "$1"
  scontrol update NodeName="$1" State=UNDRAIN
}

# The losses of two runs up to a step are the same bit by bit, and within rounding after that.
compare_losses() { # compare_losses RUN REFERENCE STEPS [IDENTICAL]
  "$repository/mpi_tests/support/compare_losses.py" "$scratch/$1.csv" "$scratch/$2.csv" --steps "$3" \
    --identical "${4:-$3}" --within 1e-3
}
