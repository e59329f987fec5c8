"""Both ways of waiting for signals: by sigwait(3), and by a wake-up descriptor where that is missing."""

import json
import subprocess
import sys

import pytest
from harness import ROOT

SCRIPT = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[2])
from executioner import signals

signal.signal(signal.SIGHUP, signal.SIG_IGN)
queue = getattr(signals, sys.argv[1])()
seen = {"nothing": [queue.wait(0), queue.wait(0.01)]}
os.kill(os.getpid(), signal.SIGHUP)
seen["ignored"] = queue.wait(0.01)
os.kill(os.getpid(), signal.SIGTERM)
seen["pending"] = queue.wait(None)
if not os.fork():
    os._exit(0)
seen["child"] = queue.wait(60)
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGQUIT)
seen["both"] = sorted([queue.wait(0), queue.wait(0)])
seen["empty"] = queue.wait(0)
print(json.dumps(seen))
"""


@pytest.mark.parametrize("kind", ["SignalQueue", "WakeUpSignalQueue"])
def test_signals_are_taken_one_by_one(kind: str) -> None:
    """Each signal that was sent is returned once, a child's end wakes, what was ignored stays so, time passes."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(ROOT)], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == {
        "nothing": [None, None],
        "ignored": None,
        "pending": 15,
        "child": 17,
        "both": [2, 3],
        "empty": None,
    }


def test_an_early_alarm_does_no_harm() -> None:
    """A long wait after a short one that was cut short by a signal is not ended by the short one's alarm."""
    script = """
import os, signal, sys
from time import monotonic
sys.path.insert(0, sys.argv[1])
from executioner.signals import SignalQueue
queue = SignalQueue()
os.kill(os.getpid(), signal.SIGINT)
assert queue.wait(0.2) == signal.SIGINT
begin = monotonic()
while monotonic() - begin < 0.4:
    assert queue.wait(0.4 - (monotonic() - begin)) is None
"""
    done = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
