"""Asynchronous mode, seen from the client: reports to the monitor, orders to the hosts.

A run is a sequence of watches. When a worker is lost, when others join, or when the blocks are
spread badly over fast and slow workers, the watch ends: all return to the last safe snapshot, the
blocks change hands, and the next watch goes on from there. A snapshot is one fixed vector, so
with exact sweeps the answer is bit for bit the one of an undisturbed run.
"""

from __future__ import annotations

import time
import uuid
from functools import partial
from operator import getitem

import dask.array as da
import numpy as np
from dask import delayed
from distributed import Client, Future

from dasksor.engine.account import Account
from dasksor.engine.balance import Balance
from dasksor.engine.checkpoint import Checkpoint, State
from dasksor.engine.course import Course
from dasksor.engine.futures import raise_failures, results, settle
from dasksor.engine.method import Method
from dasksor.engine.outcome import Outcome, Timings
from dasksor.engine.placement import Placement, Thread, moved
from dasksor.engine.recall import START
from dasksor.engine.refuge import Refuge
from dasksor.engine.roll import OTHER_CAUSES, Roll
from dasksor.engine.tasks import HostReport, answer_of, parts_saved
from dasksor.engine.ticker import Ticker
from dasksor.engine.watch import Watch
from dasksor.errors import SchedulerLostError, WorkersLostError
from dasksor.messages import Command, Copy, Progress, Regroup, Stop
from dasksor.status import Status
from dasksor.system import LinearSystem

# An order that is repeated asks blocks to send again what may have been lost, and renews leases.
REPEAT = 2.0
# The first wish to spread blocks anew waits this long, each further one twice as long.
FIRST_WISH = 1.0


class Run:
    """One asynchronous solve on a cluster.

    Attributes
    ----------
    placement : Placement
        Where the blocks are.
    losses, moves : int
        How often the blocks changed hands because workers were lost, and to spread them better.
    """

    def __init__(
        self,
        system: LinearSystem,
        placement: Placement,
        course: Course,
        client: Client,
        roll: Roll,
        *,
        method: Method,
        mailbox: str,
        checkpoint: Checkpoint | None = None,
        state: State | None = None,
        ticker: Ticker | None = None,
    ) -> None:
        self.name = f"dasksor-{uuid.uuid4().hex[:12]}"
        self.losses = self.moves = 0
        self.mailboxes: list[str] = []
        self._system, self.placement, self._client = system, placement, client
        self._method, self._mailbox = method, mailbox
        processes = {site[:2] for site in placement.sites.values()}
        nblocks = placement.partition.nblocks
        copied = len(processes) > 1
        self._monitor = method.monitor(
            course, nblocks, copied=copied, saves=copied or checkpoint is not None
        )
        self._checkpoint, self._state = checkpoint, state
        self._began = time.monotonic() - (state.time if state else 0.0)
        self._roll = roll
        self._balance: Balance[Thread] = Balance(
            placement.partition, [f.entries for f in placement.facts]
        )
        self._refuge: Refuge[Watch] = Refuge()
        self._reports: list[HostReport] = []
        self._watches = 0
        self._wish_after = FIRST_WISH
        self._account = Account(nblocks, len(method.directions), self._began, ticker)

    def run(self, *, as_dask: bool) -> Outcome:
        """Solve; the answer comes here, or stays on the workers as a Dask array."""
        watch = self._watch(self.placement, *self._beginning())
        try:
            while True:
                outcome = self._serve(watch, as_dask)
                if outcome is not None:
                    return outcome
                self._refuge.consider(watch, self._monitor.recall)
                watch = self._roll.persist(self._handed_over, self._balance.laggards)
        finally:
            self._account.end(self._monitor)

    def _serve(self, watch: Watch, as_dask: bool) -> Outcome | None:
        """From the start of a watch to its end; None when the blocks have to change hands."""
        threads, around = watch.placement.threads, self._roll.alive()
        command: Command = Stop(None)
        try:
            watch.begin(partial(self._check, watch))
            command = self._preside(watch)
        except SchedulerLostError:
            watch.abandon()
            raise
        except OTHER_CAUSES:
            raise
        except Exception:
            if not self._roll.hears_of_a_loss(around):
                raise
            command = Regroup()
            self.losses += 1
        finally:
            # Whatever went wrong, no host may go on sweeping.
            watch.end(command, partial(self._roll.gone, threads))
        try:
            check = partial(self._roll.check, threads)
            self._reports += watch.host_reports(self._roll.alive(), check)
            return self._outcome(watch, command, as_dask) if isinstance(command, Stop) else None
        except OTHER_CAUSES:
            raise
        except Exception:
            if not self._roll.hears_of_a_loss(around):
                raise
            self.losses += isinstance(command, Stop)
            return None

    def _preside(self, watch: Watch) -> Command:
        """Pass reports to the monitor and its orders to the hosts until the watch has to end."""
        monitor, spoken = self._monitor, 0.0
        command: Command | None = monitor.order
        began, safe = time.monotonic(), monitor.recall.safe
        while not isinstance(command, Stop):
            now = time.monotonic()
            try:
                if command is not None or now - spoken > REPEAT:
                    watch.tell(command or monitor.order)
                    spoken = now
                if monitor.recall.safe != safe and now - began > self._wish_after:
                    # Just now hardly any sweeps would be lost.
                    safe = monitor.recall.safe
                    if monitor.recall.is_covered and self._could_be_faster(watch):
                        self.moves += 1
                        self._wish_after *= 2
                        return Regroup()
                command = self._next_command(watch)
                self._account.tell(monitor)
            except KeyboardInterrupt:
                command = monitor.stop(Status.STOPPED)
        return command

    def _next_command(self, watch: Watch) -> Command | None:
        now = time.monotonic() - self._began
        command: Command | None = None
        report = watch.next_report()
        self._check(watch)
        if isinstance(report, Progress):
            thread = watch.placement.threads[report.host]
            self._balance.hear(thread, report.rows, report.busy)
            self._account.hear(report)
        if isinstance(report, Copy):
            self._keep(report)
        elif report is not None:
            command = self._monitor.receive(report, now)
        # Of many hosts there is always one that has something to report.
        return command or self._monitor.tick(now)

    def _keep(self, copy: Copy) -> None:
        assert self._checkpoint is not None
        self._checkpoint.hear(copy, self._monitor.recall)

    def _check(self, watch: Watch) -> None:
        """Raise when a worker of the watch is gone, or one of its hosts has failed."""
        failed = any(f.status not in ("pending", "finished") for f in watch.futures)
        gone = self._roll.gone(watch.placement.threads, at_once=failed)
        if gone:
            raise WorkersLostError(f"lost {', '.join(sorted(gone))}")
        raise_failures(watch.futures)

    def _could_be_faster(self, watch: Watch) -> bool:
        place = watch.placement
        candidates = self._roll.threads(self._balance.laggards)
        return self._balance.is_worth_changing(place.threads, place.owner, candidates)

    def _watch(self, placement: Placement, start: list[Future], epoch: int | None) -> Watch:
        self._watches += 1
        watch = Watch(
            f"{self.name}-{self._watches}",
            placement,
            self._client,
            method=self._method,
            mailbox=self._mailbox,
            start=start,
            epoch=epoch,
            tells_copies=self._checkpoint is not None,
            tells_ages=self._account.is_told,
        )
        self._account.change_hands([thread.label for thread in placement.threads])
        self.mailboxes = watch.mailboxes
        self._monitor.recall.copied = any(buddy is not None for buddy in watch.buddies)
        return watch

    def _beginning(self) -> tuple[list[Future], int | None]:
        """The newest state on disk, that of the run that is resumed, or the start."""
        recall, place, state = self._monitor.recall, self.placement, self._state
        if self._checkpoint is not None:
            state = self._checkpoint.newest() or state
        if state is None:
            recall.start_over()
            self._monitor.rewind()
            return place.start, None
        recall.adopt(state.epoch, state.memo, state.best)
        addresses = [place.threads[owner].address for owner in place.owner]
        parts = [
            self._client.scatter([state.parts[p]], workers=[address], hash=False)[0]
            for p, address in enumerate(addresses)
        ]
        return parts, self._monitor.rewind()

    def _handed_over(self, available: list[Thread]) -> Watch:
        """Bring the blocks to the workers that are there, as they were in the safe snapshot."""
        threads, owner = self._balance.shared(available)
        self.placement = moved(
            self.placement, self._system, threads, owner, self._client,
            alive=self._roll.alive(),
            check=partial(self._roll.check, threads),
        )  # fmt: skip
        return self._watch(self.placement, *self._way_back())

    def _way_back(self) -> tuple[list[Future], int | None]:
        """The parts of the safe snapshot, or the beginning when there is none, or no longer."""
        recall, place, refuge = self._monitor.recall, self.placement, self._refuge.watch
        returned = refuge.returned(self._roll.alive()) if refuge is not None else set()
        sources = self._refuge.sources(recall, returned)
        if refuge is None or not sources:
            return self._beginning()
        needed = sorted(recall.needed)
        parts = [
            self._client.submit(
                parts_saved,
                refuge.futures[host],
                p,
                needed,
                place.start[p] if START in needed else None,
                workers=[refuge.placement.threads[host].address],
                pure=False,
            )
            for p, host in enumerate(sources)
        ]
        return parts, self._monitor.rewind()

    def _outcome(self, watch: Watch, stop: Stop, as_dask: bool) -> Outcome:
        place = watch.placement
        if not watch.is_complete:
            raise WorkersLostError("lost a worker before its last word")
        futures = [
            self._client.submit(
                answer_of,
                future,
                place.blocks_of(host),
                stop.keep,
                workers=[place.threads[host].address],
                pure=False,
            )
            for host, future in enumerate(watch.futures)
        ]
        check = partial(self._check, watch)
        if as_dask:
            settle(futures, check)
            parts = [
                da.from_delayed(
                    delayed(getitem)(futures[place.owner[p]], p), (place.nrhs, size), np.float64
                )
                for p, size in enumerate(place.partition.sizes)
            ]
            x = da.concatenate(parts, axis=1)
        else:
            answers: dict[int, np.ndarray] = {}
            for answer in results(self._client, futures, check):
                answers.update(answer)
            x = np.concatenate([answers[p] for p in range(place.partition.nblocks)], axis=1)
        swept = {p: Timings() for p in range(place.partition.nblocks)}
        versions = dict.fromkeys(swept, 0)
        for report in self._reports:
            for p, timings in report.blocks.items():
                swept[p].add(timings)
                # A block that changed hands went on counting where it was taken up.
                versions[p] = max(versions[p], report.versions[p])
        blocks = list(swept.values())
        return Outcome(
            x,
            Timings.sum([*blocks, *(report.timings for report in self._reports)]),
            blocks,
            messages=sum(report.messages for report in self._reports),
            bytes_sent=sum(report.bytes_sent for report in self._reports),
            sweeps=self._method.sweeps(versions),
        )
