"""SIGTERM and SIGINT as requests to stop."""

import os
import signal
import threading
import time

import pytest

import lfbt.utils.interrupts as interrupt_module
from lfbt.cli.errors import reporting_errors
from lfbt.utils.interrupts import (
    STOPPED_STATUS,
    StoppedError,
    TerminatedError,
    calling_on_hangup,
    catch_stop_signals,
    raising_terminated,
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_catch_stop_signals_records_a_signal_and_restores_handlers(number):
    before = signal.getsignal(number)
    with catch_stop_signals() as request:
        assert request.signal is None
        os.kill(os.getpid(), number)
        assert request.signal == number.name
        # A launcher passes on what the terminal has sent already.
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert request.signal == number.name
    assert signal.getsignal(number) is before


def test_catch_stop_signals_interrupts_on_a_second_ctrl_c(monkeypatch):
    monkeypatch.setattr(interrupt_module, "_MIN_SECONDS_APART", 0.05)
    before = signal.getsignal(signal.SIGINT)
    with catch_stop_signals():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_catch_stop_signals_and_calling_on_hangup_leave_sighup_ignored():
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    called = []
    try:
        with catch_stop_signals() as request, calling_on_hangup(lambda: called.append(1)):
            os.kill(os.getpid(), signal.SIGHUP)
        assert (request.signal, called) == (None, [])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_calling_on_hangup_lets_the_block_end_and_then_raises_the_signal():
    done = []

    def hang_up():
        with calling_on_hangup(lambda: done.append("called")):
            os.kill(os.getpid(), signal.SIGHUP)
            done.append("ended")
        done.append("not reached")

    with pytest.raises(TerminatedError, match=r"^stopped by SIGHUP$"), raising_terminated():
        hang_up()
    assert done == ["called", "ended"]
    with calling_on_hangup(lambda: done.append("again")):
        pass
    assert done == ["called", "ended"]


def test_catch_stop_signals_records_nothing_in_another_thread():
    seen = []

    def work():
        with catch_stop_signals() as request:
            seen.append(request.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_raising_terminated_raises_once_and_restores_handlers(number):
    def cleaned_up():
        try:
            os.kill(os.getpid(), number)
        finally:
            # A launcher sends more of them while the first is cleaned up after.
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)

    with pytest.raises(TerminatedError, match=f"^stopped by {number.name}$") as stop, raising_terminated():
        cleaned_up()
    assert stop.value.number == number
    assert {signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)} == {signal.SIG_DFL}


def test_raising_terminated_leaves_a_signal_that_is_ignored(monkeypatch):
    """As nohup has SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raising_terminated():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("rank", "prints"), [(None, True), ("0", True), ("1", False)])
def test_stopped_error_is_printed_by_the_main_process_only(monkeypatch, capsys, rank, prints):
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit) as ended, reporting_errors():
        raise StoppedError("stopped, go on")
    assert ended.value.code == STOPPED_STATUS
    assert capsys.readouterr().err == ("lfbt: stopped, go on\n" if prints else "")
