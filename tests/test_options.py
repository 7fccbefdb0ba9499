"""Options are checked before anything starts, and none is accepted where it does nothing."""

import math
from unittest.mock import Mock

import numpy as np
import pytest
from distributed import Client, LocalCluster
from reference import BACKWARD, FORWARD

import dasksor
from dasksor.engine.placement import worker_threads
from dasksor.options import Options, check_blocks, check_omega

DEFAULTS = {
    "rtol": 1e-5,
    "atol": 0.0,
    "maxiter": None,
    "timeout": None,
    "mode": "auto",
    "omega": "auto",
    "sweep": "forward",
    "blocks": None,
    "staleness": "auto",
    "accelerate": "auto",
    "mailbox": "auto",
    "checkpoint": None,
    "checkpoint_every": 60.0,
    "client": None,
    "callback": None,
}


def checked(n=30, **options):
    return Options.checked(n, **{**DEFAULTS, **options})


def fake_client(status="running", asynchronous=False):
    client = Mock(spec=Client)
    client.status, client.asynchronous = status, asynchronous
    return client


def test_defaults():
    options = checked()
    assert options.limits.maxiter == 1000
    assert checked(n=101).limits.maxiter == 1010
    assert options.limits.timeout is None
    assert options.directions == (FORWARD,)


@pytest.mark.parametrize(
    ("sweep", "directions"),
    [("forward", (FORWARD,)), ("backward", (BACKWARD,)), ("symmetric", (FORWARD, BACKWARD))],
)
def test_sweeps_are_passes(sweep, directions):
    assert checked(sweep=sweep).directions == directions


@pytest.mark.parametrize(
    "options",
    [
        {"omega": 0.001},
        {"omega": 1.999},
        {"omega": np.float32(1.5)},
        {"omega": 1},
        {"rtol": 0, "atol": 0},
        {"rtol": 2.0, "atol": 1e300},
        {"maxiter": 0},
        {"maxiter": np.int64(3)},
        {"timeout": 1e-9},
        {"timeout": math.inf},
        {"mode": "sync", "blocks": 30},
        {"mode": "async", "blocks": 1, "staleness": 0, "mailbox": "memory"},
        {"mode": "async", "staleness": None},
        {"mode": "async", "staleness": np.int32(2), "mailbox": "variables"},
        {"mode": "async", "accelerate": "cg"},
        {"mode": "async", "accelerate": "cg", "staleness": None},
        {"mode": "async", "accelerate": None, "staleness": 2},
        {"accelerate": "cg"},
        {"accelerate": None},
        {"mode": "sequential", "accelerate": "cg"},
        {"mode": "sequential", "accelerate": None},
        {"mode": "threads"},
        {"mode": "threads", "accelerate": "cg", "blocks": 30},
        {"mode": "threads", "accelerate": "chebyshev", "blocks": 30},
        {"mode": "sequential", "accelerate": "chebyshev"},
        {"client": fake_client()},
        {"mode": "sync", "client": fake_client()},
        {"callback": print},
    ],
)
def test_good_options_pass_as_they_are(options):
    made = checked(**options)
    for name, value in options.items():
        kept = made.limits if name in ("rtol", "atol", "maxiter", "timeout") else made
        assert getattr(kept, name) == value


BAD = [
    ({"omega": 0}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got 0"),
    ({"omega": 2}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got 2"),
    ({"omega": 2.3}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got 2.3"),
    ({"omega": -1.0}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got -1.0"),
    ({"omega": math.nan}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got nan"),
    ({"omega": math.inf}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got inf"),
    ({"omega": "best"}, ValueError, r"omega must lie in \(0, 2\) or be 'auto', got 'best'"),
    ({"mode": "parallel"}, ValueError, "mode must be one of auto, sequential, .*got 'parallel'"),
    ({"mode": None}, ValueError, "one of auto, sequential, threads, sync, async; got None"),
    ({"sweep": "up"}, ValueError, "sweep must be one of forward, backward, symmetric; got 'up'"),
    ({"mailbox": "pigeon"}, ValueError, "mailbox must be one of auto, memory, .*got 'pigeon'"),
    (
        {"accelerate": "minres"},
        ValueError,
        "accelerate must be one of auto, cg, chebyshev, gcr, bicgstab, gmres, None; got 'minres'",
    ),
    ({"accelerate": "chebyshev"}, ValueError, "'chebyshev' is for modes .*got mode 'async'"),
    (
        {"accelerate": "cg", "staleness": 1},
        ValueError,
        "cg' sweeps without waiting, .*=1",
    ),
    ({"rtol": -1e-9}, ValueError, "rtol must be nonnegative and finite, got -1e-09"),
    ({"atol": -1}, ValueError, "atol must be nonnegative and finite, got -1"),
    ({"rtol": math.nan}, ValueError, "rtol must be nonnegative and finite, got nan"),
    ({"atol": math.inf}, ValueError, "atol must be nonnegative and finite, got inf"),
    ({"maxiter": -1}, ValueError, "maxiter must be a nonnegative integer, got -1"),
    ({"maxiter": 2.5}, ValueError, "maxiter must be a nonnegative integer, got 2.5"),
    (
        {"mode": "auto", "nullspace": np.ones(7)},
        ValueError,
        r"nullspace has shape \(7,\) but A has",
    ),
    ({"mode": "auto", "nullspace": np.full(30, np.inf)}, ValueError, "nullspace has inf at row 0"),
    (
        {"mode": "auto", "nullspace": np.zeros(30)},
        ValueError,
        "at most 30 columns, none of them zero, got 1",
    ),
    ({"mode": "auto", "nullspace": np.ones((30, 31))}, ValueError, "at most 30 columns, .* got 31"),
    (
        {"mode": "auto", "nullspace": np.ones(30), "client": fake_client()},
        ValueError,
        "nullspace is for this process, without a client",
    ),
    *(
        ({"nullspace": np.ones(30), "mode": mode}, ValueError, f"no meaning in mode '{mode}'")
        for mode in ("sync", "async")
    ),
    ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds, got 0"),
    ({"timeout": -2.0}, ValueError, "timeout must be a positive number of seconds, got -2.0"),
    ({"timeout": math.nan}, ValueError, "timeout must be a positive number of seconds, got nan"),
    ({"blocks": 0}, ValueError, r"blocks must lie in 1, ..., 30 \(rows of A\), got 0"),
    ({"blocks": 31}, ValueError, r"blocks must lie in 1, ..., 30 \(rows of A\), got 31"),
    ({"blocks": 1.5}, ValueError, r"blocks must lie in 1, ..., 30 \(rows of A\), got 1.5"),
    ({"staleness": -1}, ValueError, "staleness must be None or an integer >= 0, got -1"),
    ({"staleness": 1.0}, ValueError, "staleness must be None or an integer >= 0, got 1.0"),
    ({"staleness": "none"}, ValueError, "staleness must be None or an integer >= 0, got 'none'"),
    ({"callback": 3}, TypeError, "callback must be callable, got int"),
    ({"client": "tcp://here"}, TypeError, "client must be a distributed.Client, got str"),
    ({"client": fake_client("closed")}, ValueError, "the client is closed: connect a new one"),
    ({"client": fake_client(asynchronous=True)}, ValueError, "the client is asynchronous"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD)
def test_bad_options_are_refused_before_a_cluster_starts(monkeypatch, bad, error, message):
    def refuse(*args, **options):
        raise AssertionError("a cluster was started")

    monkeypatch.setattr(LocalCluster, "__init__", refuse)
    options = {"mode": "async", **bad}
    with pytest.raises(error, match=message):
        checked(**options)
    with pytest.raises(error, match=message):
        dasksor.solve(np.eye(30), np.ones(30), **options)


@pytest.mark.parametrize(
    ("mode", "meaningless"),
    [
        ("sequential", {"blocks": 2}),
        ("sequential", {"staleness": 0}),
        ("sequential", {"staleness": None}),
        ("sequential", {"mailbox": "memory"}),
        ("sequential", {"client": fake_client()}),
        ("sync", {"staleness": 0}),
        ("sync", {"mailbox": "variables"}),
        ("auto", {"blocks": 2}),
        ("threads", {"staleness": 0}),
        ("threads", {"mailbox": "memory"}),
        ("threads", {"client": fake_client()}),
        ("threads", {"checkpoint": "run"}),
        ("sync", {"accelerate": "cg"}),
        ("sync", {"accelerate": "chebyshev"}),
        ("sync", {"accelerate": None}),
        ("auto", {"staleness": None}),
        ("auto", {"mailbox": "memory"}),
    ],
)
def test_an_option_is_refused_where_it_would_do_nothing(mode, meaningless):
    (name,) = meaningless
    with pytest.raises(ValueError, match=f"{name} has no meaning in mode '{mode}': leave it out"):
        checked(mode=mode, **meaningless)


@pytest.mark.parametrize("sweep", ["backward", "symmetric"])
@pytest.mark.parametrize("mode", ["auto", "sequential", "threads"])
@pytest.mark.parametrize("accelerate", ["cg", "chebyshev"])
def test_gradients_in_this_process_have_an_order_of_their_own(accelerate, mode, sweep):
    with pytest.raises(ValueError, match=f"sweep='{sweep}' has no meaning where accelerated"):
        checked(mode=mode, accelerate=accelerate, sweep=sweep)


def test_threads_are_for_accelerated_solves():
    with pytest.raises(ValueError, match="mode 'threads' is for accelerated solves"):
        checked(mode="threads", accelerate=None)


@pytest.mark.parametrize(
    "accelerated", [{"mode": "threads"}, {"accelerate": "cg"}, {"accelerate": "chebyshev"}], ids=str
)
@pytest.mark.parametrize("A", [[[2.0, 1.0], [0.5, 2.0]], [[2.0, 1.0], [1.0, -2.0]]], ids=str)
def test_gradients_are_refused_for_unsuitable_matrices(A, accelerated):
    with pytest.raises(ValueError, match="needs a symmetric matrix with a positive diagonal"):
        dasksor.solve(np.array(A), np.ones(2), **accelerated)


def test_a_whole_number_of_blocks_becomes_an_integer_or_is_refused():
    try:
        blocks = checked(mode="sync", blocks=2.0).blocks
    except (TypeError, ValueError):
        return
    assert isinstance(blocks, int)


@pytest.mark.parametrize(
    "bad",
    [
        {"omega": None},
        {"omega": 1j},
        {"rtol": None},
        {"atol": "small"},
        {"maxiter": math.nan},
        {"maxiter": math.inf},
        {"maxiter": "many"},
        {"timeout": "long"},
        {"blocks": "few"},
    ],
    ids=str,
)
def test_values_of_the_wrong_kind_are_refused_by_name(bad):
    (name,) = bad
    with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
        checked(mode="async", **bad)


def test_a_cluster_without_workers():
    client = fake_client()
    client.nthreads.return_value = {}
    with pytest.raises(ValueError, match="the cluster has no workers: start or scale it up"):
        worker_threads(client)


def test_checks_by_themselves():
    check_omega(1.5)
    check_blocks(3, 3)
    with pytest.raises(ValueError, match="got 'auto'"):
        check_omega("auto")
    with pytest.raises(ValueError, match="got 4"):
        check_blocks(4, 3)


def test_the_lazy_sweep_refuses_the_same():
    A, b = np.eye(3), np.ones(3)
    with pytest.raises(ValueError, match="omega must lie in"):
        dasksor.sweep(A, b, b, 2.0)
    with pytest.raises(ValueError, match="direction must be one of forward, backward; got 'both'"):
        dasksor.sweep(A, b, b, direction="both")
    with pytest.raises(ValueError, match=r"blocks must lie in 1, \.\.\., 3 "):
        dasksor.sweep(A, b, b, blocks=4)
    with pytest.raises(ValueError, match=r"x0 has shape \(2,\)"):
        dasksor.sweep(A, b, np.ones(2))
