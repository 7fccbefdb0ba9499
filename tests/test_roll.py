"""Which threads are used, of more than their machines have cores."""

import pytest

from dasksor.engine.balance import Balance
from dasksor.engine.placement import Thread
from dasksor.engine.roll import Roll
from dasksor.partition import Partition


class Cluster:
    """What a `Roll` asks of a client; ``workers`` have a machine, its room, and threads each."""

    status = "running"
    scheduler = type("Scheduler", (), {"identity": None})

    def __init__(self, workers):
        self.workers = workers

    def nthreads(self):
        return {address: count for address, (*_, count) in self.workers.items()}

    def sync(self, question):
        return {"workers": {}}

    def run(self, question, workers, on_error):
        return {address: self.workers[address][:2] for address in workers}


def used(workers, laggards=()):
    roll = Roll(Cluster(workers), "")
    return [(t.address, t.slot) for t in roll.threads([Thread(*one) for one in laggards])]


def test_a_machine_runs_as_many_threads_as_it_has_room_for():
    crowd = {f"w{k}": ("here", 2, 1) for k in range(5)} | {"x0": ("there", 3, 2)}
    assert used(crowd) == [("w0", 0), ("w1", 0), ("x0", 0), ("x0", 1)]


def test_each_process_comes_before_the_second_thread_of_any():
    assert used({"a": ("here", 2, 2), "b": ("here", 2, 2)}) == [("a", 0), ("b", 0)]
    assert used({"a": ("here", 3, 2), "b": ("here", 3, 2)}) == [("a", 0), ("a", 1), ("b", 0)]


def test_a_laggard_is_used_where_no_other_is_to_spare():
    three = dict.fromkeys("abc", ("here", 2, 1))
    assert used(three, [("a", 0)]) == [("b", 0), ("c", 0)]
    assert used(three, [("a", 0), ("c", 0)]) == [("a", 0), ("b", 0)]


@pytest.mark.parametrize(("speed", "lags"), [(0.9, False), (0.2, True)])
def test_who_is_much_slower_than_usual_lags(speed, lags):
    balance = Balance(Partition.even(8, 4), [1, 1, 1, 1])
    balance.hear("swift", 100.0, 1.0)
    balance.hear("other", 100.0 * speed, 1.0)
    assert balance.laggards == ({"other"} if lags else set())
    # Unknown ones are taken to have the usual speed.
    assert balance.is_worth_changing(["swift", "other"], [0, 0, 1, 1], ["swift", "spare"]) == lags
