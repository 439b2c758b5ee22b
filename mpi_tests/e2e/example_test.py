#!/usr/bin/env python3
"""A program of examples/, killed in the middle and started again, ends in the state of an uninterrupted run, bit by bit.

Usage: example_test.py PROGRAM MPIRUN
"""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from checkpoint_state import differences, state_of  # noqa: E402

REQUEUE = 85  # kRequeueExitStatus of policy.hpp

# By program: the starts of an interrupted run. Each has its number of ranks, and except for the last one the step whose
# checkpoint the signal waits for, and the signal.
STARTS = {
    "minimal": [(2, 300, signal.SIGKILL), (2,)],
    "sharded": [(2, 300, signal.SIGKILL), (3,)],
    "stencil": [(4, 300, signal.SIGKILL), (3,)],
    "policy": [(2, 400, signal.SIGKILL), (2, 1000, signal.SIGUSR1), (2,)],
    "gan": [(2, 300, signal.SIGKILL), (2,)],
    "agent": [(2, 300, signal.SIGKILL), (2,)],
    "scripted": [(2, 300, signal.SIGKILL), (2,)],
    "custom_optimizer": [(2, 300, signal.SIGKILL), (2,)],
}
LAST_STEP = {"policy": 2000}
# By program: the starts of a run that goes on with another state for each rank, so that only its end is asserted.
REGROUPED = {"agent": [(2, 300, signal.SIGKILL), (1, 600, signal.SIGKILL), (3,)]}


def ranks_of(program, directory):
    """The process ids of the ranks that run in this directory."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (process / "exe").samefile(program) and (process / "cwd").samefile(directory):
                found.append(int(process.name))
        except OSError:  # it has ended, or is somebody else's
            pass
    return found


def run(program, mpirun, directory, ranks, step=None, number=None):
    """Starts the program, and sends it the signal when the checkpoint of this step is there. Returns exit status and output."""
    with open(directory / "output", "w+", encoding="utf-8") as output:
        with subprocess.Popen([mpirun, "-n", str(ranks), program], cwd=directory, stdout=output) as job:
            while step is not None and job.poll() is None:
                if (directory / f"{program.name}-ckpts" / f"step_{step}.h5").exists():
                    # SIGKILL ends all ranks, as the loss of a node would; another signal comes to one of them.
                    for process in ranks_of(program, directory)[: None if number == signal.SIGKILL else 1]:
                        os.kill(process, number)
                    break
                time.sleep(0.001)
            job.wait(timeout=120)
        output.seek(0)
        return job.returncode, output.read().splitlines()


def last_step(program):
    return LAST_STEP.get(program.name, 1000)


def newest_step(program, directory):
    return max(int(file.stem.removeprefix("step_")) for file in (directory / f"{program.name}-ckpts").glob("step_*.h5"))


def interrupted_run(program, mpirun, directory, starts):
    """Returns the output of the last start, or nothing if a start ended before its signal came."""
    for ranks, *kill in starts:
        status, output = run(program, mpirun, directory, ranks, *kill)
        if not kill:
            assert status == 0, f"exit status {status}"
            return output
        if newest_step(program, directory) == last_step(program):
            return None
        step, number = kill
        print(f"{ranks} ranks: {number.name} after step_{step}: exit status {status}, newest is step_{newest_step(program, directory)}")
        assert status == REQUEUE if number == signal.SIGUSR1 else status != 0, f"exit status {status}"


def interrupted(program, mpirun, directory, starts):
    """Returns the directory of a run whose signals came in time, and the output of its last start."""
    for attempt in range(5):  # a machine may be so slow that the signal comes too late
        broken = directory.with_name(f"{directory.name}_{attempt}")
        broken.mkdir()
        output = interrupted_run(program, mpirun, broken, starts)
        if output is not None:
            return broken, output
    raise AssertionError("every run ended before its signal came")


def main():
    program, mpirun = pathlib.Path(sys.argv[1]), sys.argv[2]
    last = f"{program.name}-ckpts/step_{last_step(program)}.h5"
    with tempfile.TemporaryDirectory(prefix="muster-example-", dir=os.environ.get("MUSTER_TEST_DIR")) as name:
        whole = pathlib.Path(name) / "whole"
        whole.mkdir()
        status, expected = run(program, mpirun, whole, 2)
        assert status == 0, f"exit status {status}"
        broken, output = interrupted(program, mpirun, pathlib.Path(name) / "broken", STARTS[program.name])
        assert len(output) < len(expected), "the last start did not resume"
        assert output == expected[-len(output):], f"{output} is not the end of {expected}"
        differ = differences(whole / last, broken / last)
        assert not differ, f"these differ: {differ}"
        print(f"identical: {', '.join(state_of(broken / last))}")
        if program.name in REGROUPED:
            broken, output = interrupted(program, mpirun, pathlib.Path(name) / "regrouped", REGROUPED[program.name])
            assert len(output) < len(expected), "the last start did not resume"
            ranks = REGROUPED[program.name][-1][0]
            found = {path.split("/")[1] for path in state_of(broken / last) if path.startswith("per_rank/")}
            assert found == {str(rank) for rank in range(ranks)}, f"per_rank has {found}"


main()
