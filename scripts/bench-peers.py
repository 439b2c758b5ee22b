#!/usr/bin/python3
"""Other ways to save what muster-bench saves. Started by muster-bench under mpirun; not meant to be run by hand.

usage: bench-peers.py PEER WORKLOAD.json DIRECTORY sharded|replicated

PEER is torch-save (a file per rank), torch-save-tensors (a file per tensor) or h5py (one file, collective transfers).
WORKLOAD.json lists {"path", "dtype", "shape", "holder"}.

Rank 0 answers with lines `bench-peer {...}`: first what is "missing", or nothing; then reads lines from standard input:
"go N" saves once, durably, and is answered with "seconds", "phase_s" and "peak_bytes", the slowest rank's. The end of
input ends the job.
"""
import importlib.util
import json
import math
import os
import sys
import time

PACKAGES = {
    "torch-save": {"torch": "python3-torch", "mpi4py": "python3-mpi4py", "numpy": "python3-numpy"},
    "h5py": {"h5py": "python3-h5py-mpi", "mpi4py": "python3-mpi4py", "numpy": "python3-numpy"},
}
PACKAGES["torch-save-tensors"] = PACKAGES["torch-save"]



def fsync(path):
    """Of a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def status_bytes(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))


def random_bytes(count, seed):
    import numpy

    return numpy.random.Generator(numpy.random.SFC64(seed)).integers(0, 256, count, dtype=numpy.uint8)


# Both return a function that writes the tensors in turn N and returns the files to sync.


def torch_save(comm, tensors, directory, held, per_tensor):
    """Each rank saves a dict of its tensors; replicas are saved by rank 0 alone, as training scripts do."""
    import torch

    torch.set_num_threads(1)
    own = {}
    for index, tensor in enumerate(tensors):
        if comm.Get_rank() == (0 if held == "replicated" else tensor["holder"]):
            data = torch.empty(tensor["shape"], dtype=getattr(torch, tensor["dtype"]))
            data.view(-1).view(torch.uint8).numpy()[:] = random_bytes(data.numel() * data.element_size(), index)
            own[tensor["path"]] = data
    contents = list(own.values()) if per_tensor else [own] if own else []

    def write(turn):
        files = [os.path.join(directory, f"{turn}.rank_{comm.Get_rank()}.{i}.pt") for i in range(len(contents))]
        for file, content in zip(files, contents):
            torch.save(content, file)
        return files

    return write


def h5py_save(comm, tensors, directory):
    """One file for all ranks. Replicas are written by the rank that would hold the tensor if it were not replicated."""
    import h5py
    import numpy

    if not h5py.get_config().mpi:
        raise ImportError("this h5py has no MPI (python3-h5py-mpi)")
    transfer = h5py.h5p.create(h5py.h5p.DATASET_XFER)
    transfer.set_dxpl_mpio(h5py.h5fd.MPIO_COLLECTIVE)
    held = []
    for index, tensor in enumerate(tensors):
        dtype = numpy.dtype({"bfloat16": "uint16"}.get(tensor["dtype"], tensor["dtype"]))  # numpy has no bfloat16
        data = None
        if tensor["holder"] == comm.Get_rank():
            data = random_bytes(math.prod(tensor["shape"]) * dtype.itemsize, index).view(dtype).reshape(tensor["shape"])
        held.append((tensor["path"], tuple(tensor["shape"]), dtype, data))

    def write(turn):
        path = os.path.join(directory, f"{turn}.h5")
        with h5py.File(path, "w", driver="mpio", comm=comm, libver="latest") as file:
            datasets = [file.create_dataset(name, shape, dtype) for name, shape, dtype, _ in held]
            for dataset, (_, _, dtype, data) in zip(datasets, held):
                space = dataset.id.get_space()
                if data is None:  # takes part in the write of another rank
                    space.select_none()
                    dataset.id.write(space, space, numpy.empty((1,), dtype), dxpl=transfer)
                else:
                    dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, data, dxpl=transfer)
            file.flush()
        return [path]

    return write


def next_command(comm):
    """Rank 0's next line on all ranks. Nobody spins meanwhile: muster and other peers are being measured."""
    if comm.Get_rank() == 0:
        line = sys.stdin.readline()
        for rank in range(1, comm.Get_size()):
            comm.send(line, dest=rank)
        return line.split()
    while not comm.Iprobe(source=0):
        time.sleep(0.01)
    return comm.recv(source=0).split()


def save_once(write, directory, comm, turn):
    """What happened on this rank."""
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before = status_bytes("VmRSS")
    comm.Barrier()
    start = time.perf_counter()
    try:
        files = write(turn)
        written = time.perf_counter()
        for file in [*files, directory]:
            fsync(file)
        done = time.perf_counter()
    except Exception as error:  # told to muster-bench, which knows what to do
        return {"failed": f"rank {comm.Get_rank()}: {error}"}
    return {"seconds": done - start, "write": written - start, "sync": done - written,
            "peak_bytes": max(0, status_bytes("VmHWM") - before)}


def summary(told):
    if failures := [rank["failed"] for rank in told if "failed" in rank]:
        return {"failed": "; ".join(failures)}
    most = {key: max(rank[key] for rank in told) for key in told[0]}
    return {"seconds": most["seconds"], "phase_s": {"write": most["write"], "sync": most["sync"]}, "peak_bytes": most["peak_bytes"]}


def run(name, workload, directory, held):
    from mpi4py import MPI

    comm = MPI.COMM_WORLD

    def answer(content):
        if comm.Get_rank() == 0:
            print("bench-peer " + json.dumps(content), flush=True)

    with open(workload) as source:
        tensors = json.load(source)
    problem = write = None
    try:
        if name == "h5py":
            write = h5py_save(comm, tensors, directory)
        else:
            write = torch_save(comm, tensors, directory, held, per_tensor=name == "torch-save-tensors")
    except Exception as error:
        problem = str(error)
    if problems := [told for told in comm.allgather(problem) if told]:
        answer({"missing": problems[0]})
        return
    answer({})
    while command := next_command(comm):
        told = comm.gather(save_once(write, directory, comm, command[1]), root=0)
        answer(summary(told) if told else None)


def main(arguments):
    if len(arguments) != 4 or arguments[0] not in PACKAGES:
        sys.exit(__doc__)
    if missing := [package for module, package in PACKAGES[arguments[0]].items() if importlib.util.find_spec(module) is None]:
        print("bench-peer " + json.dumps({"missing": "needs " + ", ".join(missing)}), flush=True)
    else:
        run(*arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
