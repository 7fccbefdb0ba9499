"""How long does a message of pycos take from one process to another?

    python pycos_latency.py [--bytes SIZE] [--trips COUNT]

Two processes on 127.0.0.1, a NumPy array there and back, COUNT times after ten untimed. Prints
JSON: latency (half the median round trip, in seconds) and the size.
"""

import argparse
import json
import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import pycos
import pycos.netpycos

WARMUP = 10
TIMEOUT = 20.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def network(name, port, folder):
    """pycos at this address and no other."""
    pycos.logger.setLevel(logging.CRITICAL)
    pycos.Pycos(
        host="127.0.0.1", tcp_port=port, udp_port=port, name=name, discover_peers=False,
        dest_path=folder,
    )  # fmt: skip


def echo(task=None):
    task.set_daemon()
    task.register("echo")
    while True:
        sender, values = yield task.receive()
        sender.send(values)


def play(port, size, count, found, task=None):
    there = pycos.Location("127.0.0.1", port)
    yield pycos.Pycos.instance().peer(there)
    partner = yield pycos.Task.locate("echo", location=there, timeout=TIMEOUT)
    values = np.ones(size // 8)
    for _ in range(WARMUP + count):
        began = time.perf_counter()
        partner.send((task, values))
        if (yield task.receive(timeout=TIMEOUT)) is None:
            return
        found.append(time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=8000)
    parser.add_argument("--trips", type=int, default=200)
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.echo:
        network("echo", given.echo, ".")
        pycos.Task(echo)
        print("ready", flush=True)
        sys.stdin.read()  # until the other process ends
        os._exit(0)
    with tempfile.TemporaryDirectory(prefix="pycos-latency-") as folder:
        port = free_port()
        partner = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--echo", str(port)], cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            partner.stdout.readline()
            network("play", free_port(), folder)
            found = []
            pycos.Task(play, port, given.bytes, given.trips, found).value(TIMEOUT * 2)
        finally:
            partner.send_signal(signal.SIGKILL)
            partner.wait()
    if len(found) <= WARMUP:
        sys.exit("no answer from the other process")
    latency = statistics.median(found[WARMUP:]) / 2
    print(json.dumps({"latency": latency, "bytes": given.bytes}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
