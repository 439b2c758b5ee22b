#!/usr/bin/env python3
"""Compares the losses of two training runs, step by step: those of a CSV with the columns step and loss.

The first --identical losses must be the same to the last digit, the rest within --within of the reference, relatively, the
first of them within --first; and the reference must have learned something, or the others would mean nothing.
"""
import argparse
import csv
import pathlib
import sys


def read(path):
    with open(path) as file:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(file)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("reference", type=pathlib.Path)
    parser.add_argument("--steps", type=int, required=True, help="both must have the steps 1 to this one, each once")
    parser.add_argument("--identical", type=int, default=0)
    parser.add_argument("--within", type=float, default=0.0)
    parser.add_argument("--first", type=float, default=None)
    arguments = parser.parse_args()
    name = arguments.run.stem
    run, reference = read(arguments.run), read(arguments.reference)
    steps = list(range(1, arguments.steps + 1))
    for path, losses in ((arguments.run, run), (arguments.reference, reference)):
        if [step for step, _ in losses] != steps:
            sys.exit(f"{path.stem}: not the steps 1 to {arguments.steps}")
    for (step, loss), (_, expected) in list(zip(run, reference))[:arguments.identical]:
        if loss != expected:
            sys.exit(f"{name}: step {step} has the loss {loss}, and not {expected}")
    rest = list(zip(run, reference))[arguments.identical:]
    differences = [abs(float(x) - float(y)) / float(y) for (_, x), (_, y) in rest] or [0.0]
    print(f"{name}: {arguments.identical} losses identical, {len(rest)} within {max(differences):.1e}, "
          f"the first of them {differences[0]:.1e}")
    if max(differences) > arguments.within:
        sys.exit(f"{name}: not within {arguments.within}")
    if arguments.first is not None and differences[0] > arguments.first:
        sys.exit(f"{name}: the first one not within {arguments.first}")
    if float(reference[-1][1]) >= 0.9 * float(reference[0][1]):
        sys.exit(f"{name}: the model learns nothing")


if __name__ == "__main__":
    main()
