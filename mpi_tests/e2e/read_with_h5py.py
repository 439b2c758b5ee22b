#!/usr/bin/env python3
"""Reads a checkpoint with h5py alone and compares it bit for bit with the bytes that LibTorch held.

Usage: read_with_h5py.py DIRECTORY   (as dtype_sample left it)
"""
import json
import pathlib
import sys

import h5py
import numpy as np

directory = pathlib.Path(sys.argv[1])
failures = 0


def check(name, same):
    global failures
    if not same:
        failures += 1
    print(f"{'same     ' if same else 'DIFFERENT'}  {name}")


with h5py.File(directory / "step_7.h5", "r") as file:
    model = file["model"]
    keys = (directory / "names.txt").read_text(encoding="utf-8").splitlines()
    for index, key in enumerate(keys):
        raw = (directory / f"tensor_{index}.bin").read_bytes()
        name = key.replace("%", "%25").replace("/", "%2F")
        values = model[name][()]
        if key == "BFloat16":  # h5py widens it to float32, which holds every bfloat16 exactly
            widened = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            same = values.dtype == np.float32 and np.array_equal(values.ravel().view(np.uint32), widened.view(np.uint32))
        else:
            same = np.ascontiguousarray(values).tobytes() == raw
        check(f"/model/{name} {values.dtype} {values.shape}", same)
    check("every key is there, and no other", len(model) == len(keys) == 16)
    check("dtypes", [model[k].dtype.name for k in ("Double", "Half", "Bool", "ComplexFloat", "Long")]
          == ["float64", "float16", "bool", "complex64", "int64"])
    check("/user_content", json.loads(file["user_content"][()]) == {"total_steps": 7, "x": 0.1})
    check("/run", json.loads(file["run"][()])["tag"] == "step_7")
    rows = file["integrity"][()]
    check("/integrity names datasets", file[rows[2]["dataset"]].name.startswith("/model/"))

sys.exit(1 if failures else 0)
