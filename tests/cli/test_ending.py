"""What asks a command to end."""

import os
import signal
from contextlib import suppress
from threading import Event, Thread

import pytest

from kft.cli.ending import exit_code, requests_to_end


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_and_its_number_is_the_exit_code(kind):
    before = signal.getsignal(kind)

    with pytest.raises(KeyboardInterrupt), requests_to_end() as came:
        os.kill(os.getpid(), kind)

    assert exit_code(came) == 128 + kind
    assert signal.getsignal(kind) == before


class AsksToEnd:
    """Asks its process to end as it is deleted, and swallows all there, as objects of others do."""

    def __del__(self):
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_comes_where_an_object_is_deleted_ends_a_little_later():
    with pytest.raises(KeyboardInterrupt), requests_to_end() as came:
        delete_and_wait()

    assert exit_code(came) == 143


def delete_and_wait():
    AsksToEnd()
    Event().wait(10)


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    try:
        with requests_to_end() as came:
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert came == []


def test_an_interrupt_of_another_kind_counts_as_one_from_the_keyboard():
    assert exit_code([]) == 130


def test_a_thread_leaves_signals_as_they_are():
    seen = []

    def look():
        with requests_to_end() as came:
            seen.append((came, signal.getsignal(signal.SIGINT)))

    thread = Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [([], signal.default_int_handler)]
