#!/usr/bin/env python3
"""A checkpoint of muster-train that an earlier build saved is loaded bit by bit, and training goes on from it.

Usage: stored_test.py BIN_DIRECTORY MPIRUN STORED TEXT
TEXT is what it was trained with. Without muster-train in BIN_DIRECTORY there is no training.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from checkpoint_state import differences, state_of  # noqa: E402


def main():
    bin_directory, mpirun = pathlib.Path(sys.argv[1]), sys.argv[2]
    stored, text = pathlib.Path(sys.argv[3]), sys.argv[4]
    with tempfile.TemporaryDirectory(prefix="muster-stored-", dir=os.environ.get("MUSTER_TEST_DIR")) as name:
        before, now = pathlib.Path(name) / "before", pathlib.Path(name) / "now"
        before.mkdir()
        shutil.copy(stored, before / "step_3.h5")
        subprocess.run([bin_directory / "muster", "verify", before], check=True)
        subprocess.run([mpirun, "-n", "3", bin_directory / "copy_checkpoint", before, now], check=True)
        differ = differences(stored, now / "step_3.h5")
        assert not differ, f"these differ: {differ}"
        print(f"identical: {', '.join(state_of(stored))}")
        if (bin_directory / "muster-train").exists():
            model = "--batch 2 --context 8 --layers 1 --width 8 --heads 2 --lr-step 2 --seed 5 --tp 2".split()
            log = pathlib.Path(name) / "samples.csv"
            for steps in "4", "5":
                subprocess.run([mpirun, "-n", "2", bin_directory / "muster-train", "--text", text, *model, "--steps", steps,
                                "--quiet", "--dir", before, "--sample-log", log], check=True)
            subprocess.run([bin_directory / "muster", "verify", before, "--all"], check=True)
            assert (before / "step_5.h5").exists()
            # It goes on with the samples that the build which saved it would have taken, also after another resume.
            assert log.read_text() == "step,samples\n4,216 6292\n5,5925 7070\n", log.read_text()


main()
