"""How fast is each mailbox, and how does it bear many workers?

    python examples/benchmarks/mailboxes.py [WORKERS ...]

Workers of one thread each, in pairs, all pairs at once. Latency is half the median round trip of
one message. Throughput is what arrives, all pairs together, when one of each pair posts without
waiting for more than its last 8 messages to be seen; what is overtaken does not count.
About two minutes.
"""

import contextlib
import logging
import os
import platform
import sys

import distributed
import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor.study.latency import match

SIZES = (8_000, 800_000)


def processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()


def main(counts):
    print(
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, distributed {distributed.__version__}, "
        f"dasksor {dasksor.__version__}"
    )
    heads = "".join(f"{f'{size // 1000} kB: us':>14}{'MB/s':>8}" for size in SIZES)
    print(f"{'mailbox':12}{'workers':>8}{heads}", flush=True)
    for processes, kinds in ((False, ["memory"]), (True, ["shared", "direct", "variables"])):
        with (
            LocalCluster(
                n_workers=max(counts),
                threads_per_worker=1,
                processes=processes,
                # Sixteen processes on two cores take longer to end than nannies like.
                silence_logs=logging.ERROR,
                dashboard_address=":0",
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            for kind in kinds:
                for count in counts:
                    cells = ""
                    for size in SIZES:
                        latency, rate = match(client, kind, size, count)
                        cells += f"{latency * 1e6:>14.0f}{rate / 1e6:>8.0f}"
                    print(f"{kind:12}{count:>8}{cells}", flush=True)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [2, 4, 8, 16])
