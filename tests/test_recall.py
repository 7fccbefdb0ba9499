"""Which snapshot is safe, and who has it: the rules for the way back, without hosts."""

from types import SimpleNamespace

import numpy as np
import pytest
from simulated import counted

from dasksor.engine.monitor import Monitor
from dasksor.engine.recall import START, Recall, Saved
from dasksor.engine.refuge import Refuge, buddies_of, parts_needed
from dasksor.messages import Held


def held(recall, epoch, blocks):
    for block in blocks:
        recall.hear(Held(0, block, epoch))


def recall_of(nblocks=2, copied=True):
    return Recall(nblocks, copied=copied, memo="start")


def test_a_snapshot_is_safe_when_all_of_it_and_of_the_best_one_is_kept_twice():
    recall = recall_of()
    recall.remember(1, "one", 1)
    held(recall, 1, [0])
    assert recall.safe == START
    held(recall, 1, [0, 1])
    assert (recall.safe, recall.memo) == (1, "one")
    recall.remember(2, "two", 1)
    recall.remember(3, "three", 2)
    held(recall, 3, [0, 1])
    assert recall.safe == 1
    held(recall, 2, [0, 1])
    held(recall, 3, [0, 1])
    assert (recall.safe, recall.needed) == (3, {2, 3})


def test_in_one_process_every_snapshot_is_as_safe_as_any():
    recall = recall_of(copied=False)
    recall.remember(1, "one", 1)
    assert recall.safe == 1
    recall.copied = True
    recall.remember(2, "two", 2)
    assert recall.safe == 1


def test_a_snapshot_that_is_taken_anew_is_not_safe_by_the_memo_of_the_one_before():
    recall = recall_of()
    recall.remember(1, "one", 1)
    held(recall, 1, [0, 1])
    recall.remember(2, "two", 2)
    recall.disperse()
    held(recall, 2, [0, 1])
    assert recall.safe == 1
    recall.remember(2, "two again", 2)
    assert (recall.safe, recall.memo) == (2, "two again")


def test_who_begins_anew_measures_the_start_again():
    recall = recall_of()
    recall.remember(START, "start measured", START)
    recall.start_over()
    assert recall.memo == "start"
    assert recall.known(START) is None


def test_a_buddy_is_the_next_host_in_another_process():
    assert buddies_of(["a", "a", "b", "c"]) == [2, 2, 3, 0]
    assert buddies_of(["a", "a"]) == [None, None]
    assert buddies_of(["a"]) == [None]


def refuge_of(owner, buddies, *, safe=1):
    recall = recall_of(len(owner))
    if safe:
        recall.remember(safe, "safe", safe)
        held(recall, safe, range(len(owner)))
    refuge = Refuge()
    refuge.consider(SimpleNamespace(owner=owner, buddies=buddies), recall)
    return refuge, recall


def test_parts_come_from_their_own_host_or_from_its_buddy():
    refuge, recall = refuge_of([0, 0, 1, 2], [1, 2, 0])
    assert refuge.sources(recall, {0, 1, 2}) == [0, 0, 1, 2]
    assert refuge.sources(recall, {1, 2}) == [1, 1, 1, 2]


def test_what_two_deaths_took_with_them_is_not_looked_for_again():
    refuge, recall = refuge_of([0, 1, 2], [1, 2, 0])
    assert refuge.sources(recall, {2}) == []
    assert refuge.watch is None
    assert refuge.sources(recall, {0, 1, 2}) == []


def test_an_ended_watch_without_all_copies_is_no_refuge():
    refuge, recall = refuge_of([0, 1], [1, 0])
    before = refuge.watch
    recall.disperse()
    refuge.consider(SimpleNamespace(owner=[0, 0], buddies=[1, 0]), recall)
    assert refuge.watch is before


def test_nobody_has_to_have_kept_the_start():
    start, part = np.zeros((1, 3)), Saved(np.ones((1, 3)), 7, 0.5)
    found = parts_needed({4: {2: part}}, 2, [START, 4], start)
    assert found[4] is part
    np.testing.assert_array_equal(found[START].x, start)
    assert found[START].version == 0
    refuge, recall = refuge_of([0, 1], [1, 0], safe=START)
    assert refuge.sources(recall, {0, 1}) == []


@pytest.mark.parametrize("passes", [1, 2])
def test_after_a_return_the_next_snapshot_is_not_beyond_the_last_sweep(passes):
    monitor = Monitor(counted(10), 2, passes=passes, exact=False)
    memo = monitor.recall.memo._replace(versions={0: 10 * passes - 1, 1: 10 * passes})
    monitor.recall.adopt(3, memo, 3)
    monitor.rewind()
    monitor._versions = {0: 10 * passes, 1: 10 * passes}
    order = monitor._snapshot_when_due()
    assert order is not None
    assert order.at is None
