#!/usr/bin/env python3
"""Kills a loop of saves and checks what is left.

  kill_random.py random  --launcher L --program P --muster M [--rounds 25] [--seed S]
      SIGKILL to all ranks at a random moment after the first tag of this start was published.
  kill_random.py points  ...
      SIGKILL to one rank at every step of publishing, and in the phases before it.
  kill_random.py stopped ...
      SIGSTOP to one rank in the middle of a save: the other one must get a timeout.

With --async the program saves in the background. After each kill `muster latest` must name a tag that `muster verify` passes and that is not older than the last one
that save() returned from. All rounds use one directory, so each start resumes from what the last one left.
"""

import os
import random
import subprocess
import sys
import time

from save_loop_job import Failure, SaveLoopJob, parser_for, run, tags_in

START_S = 60  # for a start to publish its first tag, on a busy machine

# Where rank `rank` is killed, and whether the tag being saved is the newest one afterwards.
POINTS = [
    ("save.open", 0, False),
    ("engine.extent", 1, False),
    ("save.sync", 0, False),
    ("save.commit", 1, False),
    ("publish.before_pointer", 0, False),
    ("publish.before_rename", 0, False),
    ("publish.after_rename", 0, True),
    ("publish.after_sync", 0, True),
    ("publish.after_pointer", 0, True),
    ("retention.before_remove", 0, True),
]
# The same for saves in the background.
ASYNC_POINTS = [
    ("save.stage", 1, False),
    ("save.write", 1, False),
    ("save.sync", 0, False),
    ("save.commit", 1, False),
    ("save.publish", 0, False),
] + [point for point in POINTS if point[0].startswith(("publish.", "retention."))]


def step_of(tag):
    return int(tag.rsplit("_", 1)[1])


def start(arguments, directory, timeout_s=60, **variables):
    return SaveLoopJob(arguments, os.path.join(directory, "ckpts"), log_in(directory), timeout_s, **variables)


def log_in(directory):
    return os.path.join(directory, "published")


def newest(arguments, directory):
    """The tag that a resume takes; it must pass verification and not be older than the last one published."""
    checkpoints = os.path.join(directory, "ckpts")
    latest = subprocess.run([arguments.muster, "latest", checkpoints], capture_output=True, text=True)
    if latest.returncode != 0:
        raise Failure(f"muster latest: exit code {latest.returncode}: {latest.stdout}{latest.stderr}")
    tag = latest.stdout.split()[0]
    verify = subprocess.run([arguments.muster, "verify", checkpoints, "--tag", tag], capture_output=True, text=True)
    if verify.returncode != 0:
        raise Failure(f"muster verify of {tag}: exit code {verify.returncode}: {verify.stdout}{verify.stderr}")
    tags = tags_in(log_in(directory))
    if tags and step_of(tag) < step_of(tags[-1]):
        raise Failure(f"the newest sound tag is {tag}, but {tags[-1]} was published")
    return tag


def one_random_kill(arguments, directory):
    loop = start(arguments, directory)
    before = len(loop.saved())
    try:
        loop.wait_for(lambda: len(loop.saved()) > before, "first tag of this start", START_S)
        time.sleep(random.uniform(0.02, 0.4))
        if loop.process.poll() is not None:
            raise Failure(f"the program ended by itself:\n{loop.output()}")
    finally:
        loop.kill()
    return newest(arguments, directory)


def kill_at_random(arguments, directory):
    # Counts, to see that the kills hit different moments.
    left = {"part": 0, "newer": 0}
    for number in range(arguments.rounds):
        try:
            tag = one_random_kill(arguments, directory)
        except Failure as failure:
            raise Failure(f"round {number + 1}: {failure}") from failure
        left["part"] += any(name.endswith(".part") for name in os.listdir(os.path.join(directory, "ckpts")))
        left["newer"] += tag != tags_in(log_in(directory))[-1]
    print(f"{arguments.rounds} kills, {len(tags_in(log_in(directory)))} tags published; after {left['part']} kills a part "
          f"file was left, after {left['newer']} the newest tag was one that save() had not returned from yet")
    if arguments.rounds >= 20 and left["part"] == 0:
        raise Failure("no kill hit a save: the moments are not random enough")


def kill_at_points(arguments, directory):
    one_random_kill(arguments, directory)
    points = ASYNC_POINTS if arguments.in_background else POINTS
    for point, rank, visible in points:
        before = step_of(newest(arguments, directory))
        loop = start(arguments, directory, MUSTER_FAILPOINT=f"{point}@{rank}:kill")
        try:
            # The launcher ends the job when a rank dies.
            loop.wait(START_S)
        except Failure as failure:
            raise Failure(f"{point}: {failure}") from failure
        finally:
            loop.kill()
        after = step_of(newest(arguments, directory))
        if after != before + (1 if visible else 0):
            raise Failure(f"{point}: the newest tag went from step {before} to {after}")
    tag = one_random_kill(arguments, directory)
    print(f"killed at {len(points)} points; went on to {tag}")


def stop_one_rank(arguments, directory):
    one_random_kill(arguments, directory)
    before = newest(arguments, directory)
    for point in ("save.plan", "save.open", "save.write", "save.sync", "save.commit"):
        loop = start(arguments, directory, timeout_s=1, MUSTER_FAILPOINT=f"{point}@1:stop")
        try:
            loop.wait_for(lambda: "rank 0: timeout:" in loop.output(), "timeout on rank 0", 30)
        except Failure as failure:
            raise Failure(f"{point}: {failure}") from failure
        finally:
            loop.kill()
        if newest(arguments, directory) != before:
            raise Failure(f"{point}: a tag was published")
    one_random_kill(arguments, directory)
    print("a rank stopped in any phase gives the other one a timeout")


def main():
    parser = parser_for(__doc__, rounds=25, long_rounds=100)
    parser.add_argument("mode", choices=["random", "points", "stopped"])
    arguments = parser.parse_args()
    modes = {"random": kill_at_random, "points": kill_at_points, "stopped": stop_one_rank}
    return run(arguments, modes[arguments.mode])


if __name__ == "__main__":
    sys.exit(main())
