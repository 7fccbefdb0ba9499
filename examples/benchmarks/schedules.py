"""Does any schedule, with faults of every kind, end in a wrong answer or in none?

    python examples/benchmarks/schedules.py [COUNT [FIRST]]

Draws COUNT runs in virtual time: matrices, blocks, hosts, speeds, latencies, staleness; messages
that are lost, late, doubled and overtaken; workers that die and return, or do not. Every answer is
audited; exact sweeps are compared bit for bit with sequential ones. The number of a failing
schedule replays it.
"""

import math
import random
import sys
import time
from collections import Counter

import numpy as np

import dasksor
from dasksor import problems

MATRICES = {
    "grid": problems.poisson((11, 13)),
    "upwind": problems.convection_diffusion((9, 10)),
    "dense": problems.dense_spd(40, dominance=0.5),
    "pagerank": problems.pagerank(problems.random_graph(120, 4.0))[0],
}
RTOL = 1e-4
# What decides the sweeps of an exact run.
CUT = ("blocks", "sweep")


def draw(number):
    """The schedule of that number."""
    rng = random.Random(number)
    weather = {
        "workers": rng.randint(1, 6),
        "blocks": rng.randint(1, 12),
        "latency": rng.choice([0.0, 0.1, 1.0, 8.0]),
        "jitter": rng.choice([0.0, 0.2, 3.0]),
        "speed": rng.choice([1.0, 0.3]),
        "stragglers": [0] if rng.random() < 0.2 else [],
        "pause": 5.0,
        "loss": rng.choice([0.0, 0.1, 0.4]),
        "duplicates": rng.choice([0.0, 0.3]),
        "sweep": rng.choice(["forward", "backward", "symmetric"]),
        "seed": number,
    }
    name, staleness = rng.choice(sorted(MATRICES)), rng.choice([0, 0, 1, 4, None])
    # Who has no block does not count.
    hosts = min(weather["workers"], weather["blocks"])
    absence = rng.choice([0.5, 10.0, 100.0, math.inf])
    most = hosts - 1 if absence == math.inf else 6
    weather |= {"absence": absence, "deaths": rng.randint(0, most)}
    plain = staleness is None and rng.random() < 0.5
    return name, {"staleness": staleness, "accelerate": None if plain else "auto"}, weather


def check(number, faults):
    """Run schedule ``number``, counting its ``faults``; its ending, or why it is wrong."""
    name, method, weather = draw(number)
    A = MATRICES[name]
    b = np.ones(A.shape[0])
    run = dasksor.simulate(A, b, rtol=RTOL, **method, **weather)
    result = run.result
    audit = float(np.linalg.norm(b - A @ result.x))
    assert abs(audit - result.residual_norm) <= 1e-9 * np.linalg.norm(b), "a false residual"
    assert result.success == (audit <= RTOL * np.linalg.norm(b)), "a false convergence"
    runs = [run]
    if method["staleness"] == 0:
        count = {"rtol": 0.0, "maxiter": 3 + number % 40, "omega": 1.1, "sweep": weather["sweep"]}
        exact = dasksor.simulate(A, b, staleness=0, **(weather | count))
        alone = dasksor.solve(A, b, mode="sequential", **count)
        assert np.array_equal(exact.result.x, alone.x), "not the sequential sweeps"
        calm = dasksor.simulate(A, b, staleness=0, rtol=RTOL, **{k: weather[k] for k in CUT})
        assert np.array_equal(result.x, calm.result.x), "not the sweeps of a calm run"
        runs.append(exact)
    for made in runs:
        faults["messages lost"] += made.lost
        faults["deaths"] += made.deaths
        faults["changes of hands"] += made.regroups
        faults["of them for losses"] += made.result.losses
    how = result.accelerate or f"staleness {method['staleness']}"
    return how, result.status.name.lower()


def main(count=10_000, first=0):
    endings, faults, failures, began = Counter(), Counter(), [], time.perf_counter()
    for number in range(first, first + count):
        try:
            endings[check(number, faults)] += 1
        except Exception as error:
            failures.append(number)
            print(f"schedule {number}: {type(error).__name__}: {error}", flush=True)
    for (staleness, status), many in sorted(endings.items()):
        print(f"{staleness:16}{status:12}{many:>7}")
    print(", ".join(f"{many} {what}" for what, many in faults.items()))
    seconds = time.perf_counter() - began
    print(f"{count} schedules, {len(failures)} failures, {seconds:.0f} s")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
