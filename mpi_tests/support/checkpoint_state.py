"""What a checkpoint has of the job's state, as h5py reads it."""
import h5py
import numpy as np


def state_of(file):
    """Tensors and documents by path: datatype, shape and bytes. Without what describes the file and its save."""
    state = {}

    def add(path, item):
        if isinstance(item, h5py.Dataset) and path not in ("run", "telemetry", "integrity"):
            values = np.asarray(item[()])
            state[path] = (str(item.dtype), item.shape, values.item() if values.dtype.kind == "O" else values.tobytes())

    with h5py.File(file, "r") as opened:
        opened.visititems(add)
    return state


def differences(file, other):
    """The paths whose datatype, shape or bytes differ, or that one file lacks."""
    one, two = state_of(file), state_of(other)
    return sorted(path for path in one.keys() | two.keys() if one.get(path) != two.get(path))
