from __future__ import annotations

import queue
import threading

from workflow_agent.agents.step_threads import StepThreads


def test_a_free_thread_is_used_again_under_another_name() -> None:
    threads = StepThreads()
    told: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()

    def work() -> None:
        told.put((threading.get_ident(), threading.current_thread().name))

    threads.run(work, "step a")
    first = told.get(timeout=10)
    while not threads._free:  # it is free a moment after its work told
        pass
    threads.run(work, "step b")
    second = told.get(timeout=10)

    assert first[0] == second[0]
    assert (first[1], second[1]) == ("step a", "step b")


def test_one_that_never_returns_keeps_its_thread_to_itself() -> None:
    threads = StepThreads()
    never, told = threading.Event(), threading.Event()

    threads.run(never.wait, "step stuck")  # type: ignore[arg-type]  # what it gives is of no interest
    threads.run(told.set, "step other")

    assert told.wait(10)
    never.set()


def test_a_thread_that_nobody_needs_ends() -> None:
    threads = StepThreads(idle_s=0.01)
    found: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    threads.run(lambda: found.put(threading.current_thread()), "step a")
    thread = found.get(timeout=10)
    thread.join(10)

    assert not thread.is_alive()
    assert not threads._free
