"""What every mailbox promises, on real workers; and how little of it the scheduler sees.

=========================================================  ======  ======  ======  =========
a promise, to a host that                                  memory  shared  direct  variables
=========================================================  ======  ======  ======  =========
is open and reads late: the newest message of each slot    yes     yes     yes     yes
opens late: the newest message of each slot, once they     yes     yes     yes     yes
are posted again
opens late: the newest message of each slot, even so       no      no      no      yes
=========================================================  ======  ======  ======  =========

No mailbox promises an order, or that what a newer message of its slot has overtaken arrives.
"""

import collections
import contextlib
import functools
import os
import signal
import time
import uuid
from pathlib import Path

import dask
import numpy as np
import pytest
from conftest import assert_nothing_left, memory_and_sockets, needs_shared_memory
from distributed import Client, LocalCluster, Queue, Variable, get_worker
from hypothesis import given, settings
from hypothesis import strategies as st

import dasksor
from dasksor import problems
from dasksor.mailbox import routes
from dasksor.mailbox.inbox import Inbox
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import Mail, Site
from dasksor.mailbox.variables import Ring, VariablesMailbox
from dasksor.messages import Halo, Slice

pytestmark = pytest.mark.usefixtures("tidy")

# A mailbox that works answers in milliseconds; this only ends a test of one that does not.
PATIENCE = 20.0

EVERY = [
    pytest.param(("memory", "threads"), id="memory"),
    pytest.param(("shared", "threads"), id="shared-threads", marks=needs_shared_memory),
    pytest.param(("shared", "processes"), id="shared", marks=needs_shared_memory),
    pytest.param(("direct", "threads"), id="direct-threads"),
    pytest.param(("direct", "processes"), id="direct"),
    pytest.param(("variables", "processes"), id="variables"),
]


class Host:
    """One end, on a worker; keeps what it has taken, in the order of taking."""

    def __init__(self, run, host, kind, addresses, queues):
        worker = get_worker()
        loop = worker.loop.asyncio_loop
        self.inbox, self.queue = Inbox(), queues[host]
        self.mail = Mail(
            worker, loop, run, host, self.inbox,
            routes=(kind,) * len(addresses), addresses=addresses, queues=queues,
        )  # fmt: skip
        self.line = Line(worker.scheduler, loop, self.queue, self.hear)

    def hear(self, messages):
        self.mail.answer([message for message in messages if isinstance(message, Ring)])

    def post(self, batches):
        for batch in batches:
            self.mail.post(batch[0].target, batch)

    def counters(self):
        return self.mail.messages, self.mail.bytes_sent

    def await_counters(self, messages):
        """What is sent by an event loop is counted there, a moment after it was sent."""
        deadline = time.monotonic() + PATIENCE
        while self.mail.messages < messages and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.counters()

    def waiting(self):
        return dict(self.inbox._messages)

    def await_newest(self, newest):
        """Wait, without taking, until the inbox has these ages, or newer."""
        deadline = time.monotonic() + PATIENCE
        while any(
            slot not in (held := self.waiting()) or held[slot].age < age
            for slot, age in newest.items()
        ):
            assert time.monotonic() < deadline, (newest, held)
            time.sleep(0.001)

    def take(self):
        return self.inbox.take()

    def take_until(self, newest):
        """All that comes until these ages have come."""
        taken, missing = [], dict(newest)
        deadline = time.monotonic() + PATIENCE
        while missing:
            assert time.monotonic() < deadline, missing
            for message in self.inbox.take(0.1):
                taken.append(message)
                if message.age >= missing.get(message.slot, np.inf):
                    del missing[message.slot]
        return taken

    def stream(self, slots, count):
        """Post ever newer messages."""
        for k in range(1, count + 1):
            self.post([[filled(*slot, k) for slot in slots]])

    def close(self):
        self.line.end(self.queue)
        self.line.close()
        self.mail.close()


hosts: dict[tuple[str, int], Host] = {}


def enter(run, host, *about):
    hosts[run, host] = Host(run, host, *about)


def call(run, host, name, *args):
    return getattr(hosts[run, host], name)(*args)


def leave(run, host):
    hosts.pop((run, host)).close()


class Run:
    """Two hosts on two workers, seen from the client."""

    def __init__(self, client, kind):
        self.client, self.kind = client, kind
        self.name = f"dasksor-{uuid.uuid4().hex[:12]}"
        self.addresses = sorted(client.nthreads())[:2]
        self.names = [f"{self.name}-orders-{host}" for host in range(2)]
        self.queues = [Queue(name, client=client) for name in self.names]
        self.open = set()

    def later(self, host, function, *args):
        address = self.addresses[host]
        return self.client.submit(
            function, self.name, host, *args, workers=[address], pure=False, retries=0
        )

    def enter(self, host):
        self.later(host, enter, self.kind, self.addresses, self.names).result()
        self.open.add(host)

    def call(self, host, *args):
        return self.later(host, call, *args).result()

    def leave(self, host):
        self.open.discard(host)
        self.later(host, leave).result()

    def close(self):
        for host in sorted(self.open):
            self.leave(host)
        for queue in self.queues:
            queue.close()
        if self.kind == "variables":
            for source in range(2):
                name = VariablesMailbox.name(self.name, source, 1 - source)
                Variable(name, client=self.client).delete()


@contextlib.contextmanager
def opened(client, kind, enter=(0, 1)):
    run = Run(client, kind)
    try:
        for host in enter:
            run.enter(host)
        yield run
    finally:
        run.close()


@pytest.fixture(params=EVERY)
def mailbox(request):
    kind, where = request.param
    return request.getfixturevalue(where), kind


def filled(kind, source, target, age, size=50):
    """A message that says in every entry which one it is."""
    return kind(source, target, age, np.full(size, 1000.0 * source + age))


def is_whole(message, size=50):
    expected = np.full(size, 1000.0 * message.source + message.age)
    return np.array_equal(message.values, expected)


def newest_of(messages):
    ages = collections.defaultdict(int)
    for message in messages:
        ages[message.slot] = max(ages[message.slot], message.age)
    return dict(ages)


def ages(messages):
    return {message.slot: message.age for message in messages}


# What arrives


def test_the_latest_message_of_each_slot_wins(mailbox):
    with opened(*mailbox) as run:
        slots = [(kind, source, 1) for kind in (Slice, Halo) for source in (0, 2)]
        posted = [[filled(*slot, age) for slot in slots] for age in range(1, 30)]
        run.call(0, "post", posted)
        run.call(1, "await_newest", newest_of(posted[-1]))
        taken = run.call(1, "take")
        assert len(taken) == len(slots)
        assert ages(taken) == newest_of(posted[-1])
        assert all(is_whole(message) for message in taken)


# Slots that other examples have used are not used again.
sources = iter(range(10, 1_000_000, 10))


def test_the_order_of_posting_does_not_matter(mailbox):
    with opened(*mailbox) as run:
        kinds, ranks = st.sampled_from([Slice, Halo]), st.integers(0, 3)
        messages = st.tuples(kinds, ranks, st.integers(0, 12), st.integers(0, 300))

        @settings(max_examples=15)
        @given(st.lists(st.lists(messages, min_size=1, max_size=5), min_size=1, max_size=8))
        def check(plan):
            base = next(sources)
            posted = [
                [filled(kind, base + rank, 1, age, size) for kind, rank, age, size in batch]
                for batch in plan
            ]
            run.call(0, "post", posted)
            newest = newest_of(message for batch in posted for message in batch)
            for message in run.call(1, "take_until", newest):
                assert is_whole(message, message.values.size)
                # A Variable brings the slots of earlier examples along.
                assert message.age <= newest.get(message.slot, message.age)

        check()


@pytest.mark.parametrize("size", [10, 40_000])
def test_no_message_is_torn_while_both_sides_are_busy(mailbox, size):
    count = 300
    with opened(*mailbox) as run:
        slots = [(Slice, 0, 1), (Halo, 0, 1)]
        reader = run.later(1, call, "take_until", dict.fromkeys(slots, count))
        writer = run.later(0, call, "stream", slots, count)
        taken = reader.result()
        writer.result()
        assert all(is_whole(message) for message in taken)
        assert 2 <= len(taken) <= 2 * count
        del reader, writer


def test_messages_may_grow_and_shrink(mailbox):
    with opened(*mailbox) as run:
        for age, size in enumerate((0, 1, 100_000, 5, 300_000, 300_001, 0), 1):
            posted = [filled(kind, 0, 1, age, size) for kind in (Slice, Halo)]
            run.call(0, "post", [posted])
            taken = run.call(1, "take_until", newest_of(posted))
            assert ages(taken) == newest_of(posted)
            assert all(is_whole(message, size) for message in taken)


def test_what_is_posted_is_counted(mailbox):
    with opened(*mailbox) as run:
        assert run.call(0, "counters") == (0, 0)
        posted = [filled(kind, 0, 1, 1, 100) for kind in (Slice, Halo)]
        run.call(0, "post", [posted])
        run.call(1, "take_until", newest_of(posted))
        assert run.call(0, "await_counters", 2) == (2, 1600)


# Who is there


def test_a_reader_that_opens_late_gets_what_is_posted_again(mailbox):
    client, kind = mailbox
    with opened(client, kind, enter=[0]) as run:
        posted = [filled(Slice, source, 1, 7) for source in (0, 2)]
        run.call(0, "post", [posted])
        run.enter(1)
        if kind != "variables":
            run.call(0, "post", [posted])
        taken = run.call(1, "take_until", newest_of(posted))
        assert ages(taken) == newest_of(posted)


def test_messages_of_another_run_are_not_heard(mailbox):
    with opened(*mailbox) as run, opened(*mailbox) as other:
        stray = [filled(Slice, 0, 1, age) for age in range(100, 110)]
        mine = [filled(Slice, 0, 1, 1)]
        other.call(0, "post", [[message] for message in stray])
        run.call(0, "post", [mine])
        assert ages(run.call(1, "take_until", newest_of(mine))) == newest_of(mine)
        other.call(1, "await_newest", newest_of(stray))
        assert run.call(1, "take") == []


def test_a_host_that_left_hears_nothing_and_hinders_nobody(mailbox):
    client, kind = mailbox
    with opened(client, kind) as run, opened(client, kind) as other:
        run.call(0, "post", [[filled(Slice, 0, 1, 1)]])
        run.call(1, "take_until", {(Slice, 0, 1): 1})
        run.leave(1)
        run.call(0, "post", [[filled(Slice, 0, 1, age)] for age in range(2, 9)])
        late = [filled(Slice, 0, 1, 1)]
        other.call(0, "post", [late])
        assert ages(other.call(1, "take_until", newest_of(late))) == newest_of(late)
        run.call(0, "post", [[filled(Slice, 0, 1, 9)]])


@needs_shared_memory
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_host_leaves_neither_memory_nor_sockets(victim):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        run = Run(client, "shared")
        for host in (0, 1):
            run.enter(host)
        for host in (0, 1):
            run.call(host, "post", [[filled(Slice, host, 1 - host, 1, 100_000)]])
        for host in (0, 1):
            run.call(1 - host, "take_until", {(Slice, host, 1 - host): 1})
        # One that the host writes, one that it reads.
        run.later(1 - victim, await_segments, 2).result()
        assert run.name in sockets()
        os.kill(client.run(os.getpid)[run.addresses[victim]], signal.SIGKILL)
        run.later(1 - victim, await_segments, 1).result()
        run.call(1 - victim, "post", [[filled(Slice, 1 - victim, victim, 2, 100_000)]])
        run.leave(1 - victim)
        assert run.name not in sockets()
        run.open.clear()
        run.close()
        client.wait_for_workers(2)
        assert_nothing_left(client)


def sockets():
    return Path("/proc/net/unix").read_text()


def await_segments(run, host, count):
    """Wait, in a worker, until its process maps that many segments of the run."""
    deadline = time.monotonic() + PATIENCE
    while (mapped := memory_and_sockets().count(f"/memfd:{run}")) != count:
        assert time.monotonic() < deadline, mapped
        time.sleep(0.01)


# Routes

HERE = Site("a", 1, True, "ground")


@pytest.mark.parametrize(
    ("there", "kind"),
    [
        (HERE, "memory"),
        (HERE._replace(process=2), "shared"),
        (HERE._replace(process=2, takes_posts=False), "shared"),
        (HERE._replace(process=2, ground="other"), "direct"),
        (HERE._replace(machine="b", ground="other", takes_posts=False), "variables"),
    ],
)
def test_the_fastest_route_that_is_open(there, kind):
    assert routes.routes_from(HERE, [HERE, there], "auto") == ("memory", kind)


def test_nobody_shares_memory_without_common_ground():
    there = HERE._replace(process=2, ground="")
    assert routes.route(there._replace(process=3), there) == "direct"
    with pytest.raises(ValueError, match="mailbox='shared' needs all workers on one Linux"):
        routes.routes_from(there, [there, there], "shared")


# What the scheduler has to do


def count_operations(dask_scheduler):
    """Count what the scheduler does with our queues and variables, until `stop_counting`."""
    counts, kept = collections.Counter(), {}

    def counted(operation, handler):
        @functools.wraps(handler)
        def handle(*args, **kwargs):
            if str(kwargs.get("name")).startswith("dasksor-"):
                counts[operation, kwargs["name"].split("-")[3]] += 1
            return handler(*args, **kwargs)

        return handle

    for operation in ("queue_put", "queue_get", "variable_set", "variable_get"):
        kept[operation] = dask_scheduler.handlers[operation]
        dask_scheduler.handlers[operation] = counted(operation, kept[operation])
    dask_scheduler.counting = counts, kept


def stop_counting(dask_scheduler):
    counts, kept = dask_scheduler.counting
    dask_scheduler.handlers.update(kept)
    del dask_scheduler.counting
    return dict(counts)


def operations_of(client, sweeps, mailbox):
    """Solve and count."""
    A, b = problems.poisson((20, 20)), np.ones(400)
    client.run_on_scheduler(count_operations)
    began = time.monotonic()
    try:
        result = dasksor.solve(
            A, b, rtol=0.0, maxiter=sweeps, omega=1.5,
            mode="async", mailbox=mailbox, blocks=4, client=client,
        )  # fmt: skip
    finally:
        seconds = time.monotonic() - began
        counts = client.run_on_scheduler(stop_counting)
    assert result.sweeps == sweeps
    return result, counts, seconds


@pytest.mark.parametrize("sweeps", [50, 2000])
@pytest.mark.parametrize("mailbox", [pytest.param("shared", marks=needs_shared_memory), "direct"])
def test_operations_of_the_scheduler_do_not_grow_with_the_sweeps(processes, mailbox, sweeps):
    result, counts, seconds = operations_of(processes, sweeps, mailbox)
    hosts, blocks, snapshots = 2, 4, len(result.history) + 2
    assert result.messages >= sweeps
    assert not any(operation.startswith("variable") for operation, _ in counts)
    # An order for each snapshot, one repeated in silence (every 2 s), and the last two words.
    orders = hosts * (snapshots + seconds / 2.0 + 2)
    # Pieces of snapshots, again when an order is repeated; a greeting and a last word; progress
    # ten times a second, before that whenever a tenth of the time since the start has gone by.
    first_second = np.log(1.0 / 1e-6) / np.log(1.0 / 0.9)
    progress = hosts * (first_second + 10.0 * seconds + 1)
    reports = blocks * snapshots * (1 + seconds / 2.0) + hosts + 1 + progress
    assert 0 < counts["queue_put", "orders"] <= orders
    assert 0 < counts["queue_put", "reports"] <= reports
    for queue, readers in (("orders", hosts), ("reports", 1)):
        # A reader waits for one item and then takes the rest.
        assert counts["queue_get", queue] <= 2 * counts["queue_put", queue] + 2 * readers


def test_slices_in_variables_are_counted(processes):
    _, counts, _ = operations_of(processes, 20, "variables")
    assert sum(n for (operation, _), n in counts.items() if operation == "variable_set") > 0
