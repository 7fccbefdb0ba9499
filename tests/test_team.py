"""Threads in step: their work, its errors, and what is left of them."""

import threading

import pytest

from dasksor.accelerate.team import Team

pytestmark = pytest.mark.usefixtures("tidy")
sizes = pytest.mark.parametrize("size", [1, 2, 5])


@sizes
def test_results_come_in_the_order_of_the_members(size):
    assert Team(size).run(lambda number: number**2) == [number**2 for number in range(size)]


@sizes
def test_members_meet_between_steps(size):
    team, done = Team(size), [0] * size

    def work(number):
        for step in range(1, 50):
            done[number] = step
            team.meet()
            assert done == [step] * size
            team.meet()

    team.run(work)


@sizes
def test_the_error_of_one_ends_the_work_of_all_and_the_team_goes_on(size):
    team = Team(size)

    def work(number):
        if number == size - 1:
            raise ZeroDivisionError("here")
        while True:
            team.meet()

    with pytest.raises(ZeroDivisionError, match="here"):
        team.run(work)
    assert team.run(lambda number: number) == list(range(size))


def test_works_from_two_threads_take_turns():
    team, inside, most = Team(2), [], []

    def work(name):
        inside.append(name)
        team.meet()
        most.append(len(set(inside)))
        team.meet()
        inside.remove(name)

    def repeat(name):
        for _ in range(30):
            team.run(lambda _: work(name))

    runners = [threading.Thread(target=repeat, args=(name,)) for name in "ab"]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert most == [1] * 120
