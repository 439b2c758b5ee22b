#!/usr/bin/env bash
# A node dies in each phase of a save. Usage: phase_loss_test.sh BIN_DIRECTORY RANK PART, with RANK 0 or 1: on whose node; PART 0 or 1:
# in every other phase of the list below, from the first or the second
# One job for each of these, all on the same two nodes: a rank stops in the phase (failpoint), then its node is killed. Slurm
# starts the jobs again, on the spare node; each goes on from the newest published tag, bit by bit as if nothing had been.
set -euo pipefail
cluster=(--nodes 3 --cpus 20 --kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &

# PHASE NEWEST [OPTION]: the newest published step when the node dies in that phase of the save of step 30; before it there
# are 10 and 20.
second_rank="save.agree 20
save.plan 20
save.write 20
engine.extent 20
engine.extent 20 --engine=collective
save.sync 20
save.commit 20
save.stage 20 --async
save.write 20 --async
save.sync 20 --async
save.commit 20 --async"
first_rank="save.open 20
publish.before_pointer 20
publish.before_rename 20
publish.after_rename 30
publish.after_sync 30
publish.after_pointer 30
retention.before_remove 30
save.publish 20 --async"

# Only the first start of a job has the failpoint.
cat >first_start.sh <<'SH'
#!/bin/bash
# first_start.sh FAILPOINT COMMAND
if [ -z "${SLURM_RESTART_COUNT-}" ]; then export MUSTER_FAILPOINT=$1; fi
shift
# Under a name that tells the ranks apart.
exec -a "rank$SLURM_PROCID" "$@"
SH
chmod +x first_start.sh
export PATH=$bin:$PATH MUSTER_MAX_RESTARTS=6 MUSTER_RANKS_PER_NODE=1

# A rank that waits for one that stands still takes all the processor time that the jobs on their way need. So it is stopped, too,
# until the node is lost.
waiting=()
stopped() { # stopped RANK COUNT: so many of these ranks stand still; sets waiting, those that wait for them
  local process state rank dir
  local -A still other
  while read -r process state rank dir; do
    dir=${dir#*--dir } dir=${dir%% *}
    if [ "$rank" != "rank$1" ]; then other[$dir]=$process; elif [[ $state = T* ]]; then still[$dir]=$process; fi
  done < <(ps -ww -C muster-train -o pid=,stat=,args=)
  waiting=()
  for dir in "${!still[@]}"; do waiting+=("${other[$dir]}"); done
  [ ${#waiting[@]} -eq 0 ] || kill -STOP "${waiting[@]}"
  [ ${#waiting[@]} -eq "$2" ]
}

lose_in_each() { # lose_in_each RANK NODE PHASES: runs and loses that many jobs at once
  local phase newest options name jobs=() count=0
  while read -r phase newest options; do
    name=$phase$options
    cp -r before "$name"
    cp before.csv "$name.csv"
    # shellcheck disable=SC2086
    training "$name" --steps 40 --save-every 10 --keep-last 2 $options
    jobs+=("$(sbatch --parsable --nodes=2 --mincpus=1 --output="$name.out" "$repository/slurm/train-preemptible.sbatch" \
      ./first_start.sh "$phase@$1:stop" "${train[@]}")")
    count=$((count + 1))
  done <<<"$3"
  wait_until 120 stopped "$1" "$count"
  while read -r phase newest options; do
    name=$phase$options
    says "$name.out" "start 1 on n[1-2]"
    [ "$("$bin/muster" latest "$name")" = "step_$newest" ] || say_and_fail "$name: the newest is not step_$newest"
  done <<<"$3"
  kill -CONT "${waiting[@]}"
  lose_node "$2"
  count=0
  while read -r phase newest options; do
    name=$phase$options
    wait_for_end "${jobs[count]}" 240
    count=$((count + 1))
    [ "$status" -eq 0 ] || say_and_fail "$name: exit status $status"
    [ "$(grep -E '^(resumed from|no checkpoint in)' "$name.out" | tail -n 1 | cut -d: -f1)" = "resumed from step_$newest" ] ||
      say_and_fail "$name: did not go on from step_$newest"
    says "$name.out" "start 2 on"
    says "$name.out" "train-preemptible.sbatch: done"
    compare_losses "$name" whole 40
    "$bin/muster" verify --all "$name" >"$name.verify" || say_and_fail "$(cat "$name.verify")"
    [ "$(find "$name" -name '*.part' | wc -l)" -eq 0 ] || say_and_fail "$name: unfinished files are left"
    echo "$name of rank $1: went on from step_$newest"
  done <<<"$3"
}

training whole --steps 40 --save-every 10
srun --mpi=pmix -N 2 -n 2 "${train[@]}" >whole.out
training before --steps 20 --save-every 10
srun --mpi=pmix -N 2 -n 2 "${train[@]}" >before.out
if [ "$2" -eq 0 ]; then node=n1 phases=$first_rank; else node=n2 phases=$second_rank; fi
lose_in_each "$2" "$node" "$(awk "NR % 2 == (1 + $3) % 2" <<<"$phases")"
