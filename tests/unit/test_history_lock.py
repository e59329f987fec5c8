"""The lock file: bytes, who holds them, and what tells one process from another."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from executioner.errors import HistoryError
from executioner.history.lock import LockFile, ProcessIdentity, is_alive, is_held, start_ticks, this_process


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a lock file may be made."""
    return str(tmp_path / "h.db.lock")


def test_a_byte_is_held_by_one_only(path: str) -> None:
    """Two openings of the file exclude each other on a byte, even within one process."""
    one, other = LockFile(path, 0o600), LockFile(path, 0o600)
    assert one.try_hold(7)
    assert not other.try_hold(7)
    assert other.try_hold(8)
    one.close()
    other.close()


def test_a_byte_can_be_given_back(path: str) -> None:
    """After release another may have it."""
    one, other = LockFile(path, 0o600), LockFile(path, 0o600)
    one.try_hold(7)
    one.release(7)
    assert other.try_hold(7)
    one.close()
    other.close()


def test_closing_gives_all_bytes_back(path: str) -> None:
    """So does the end of the process."""
    lock = LockFile(path, 0o600)
    for byte in (1, 5, 2**40):
        assert lock.try_hold(byte)
        assert is_held(path, byte) is True
    lock.close()
    assert [is_held(path, byte) for byte in (1, 5, 2**40)] == [False] * 3


def test_another_descriptor_that_is_closed_takes_no_lock_along(path: str) -> None:
    """The trap of ordinary POSIX locks: here the lock belongs to the opening, not to the process."""
    lock = LockFile(path, 0o600)
    lock.try_hold(3)
    os.close(os.open(path, os.O_RDWR))
    assert is_held(path, 3) is True
    lock.close()


def test_asking_does_not_take(path: str) -> None:
    """is_held neither holds the byte afterwards nor makes a file that is missing."""
    assert is_held(path, 1) is False
    assert not os.path.exists(path)
    lock = LockFile(path, 0o600)
    assert is_held(path, 1) is False
    assert lock.try_hold(1)
    lock.close()


def test_asking_needs_no_right_to_write(path: str) -> None:
    """A reader may ask on a file that is read-only."""
    lock = LockFile(path, 0o600)
    lock.try_hold(1)
    os.chmod(path, 0o400)
    assert is_held(path, 1) is True
    lock.close()


def test_what_cannot_be_asked_is_unknown(tmp_path: Path) -> None:
    """A link in place of the lock file: neither held nor free."""
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    assert is_held(str(tmp_path / "link"), 1) is None


def test_a_link_is_not_opened(tmp_path: Path) -> None:
    """A planted symbolic link is an error, its target is not made."""
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(OSError, match=r"symbolic"):
        LockFile(str(tmp_path / "link"), 0o600)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_the_mode_does_not_depend_on_the_umask(path: str, mode: int) -> None:
    """The file has the permissions asked for."""
    before = os.umask(0o077)
    try:
        LockFile(path, mode).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == mode


def test_a_child_does_not_inherit_the_lock(path: str) -> None:
    """A program started by exec has no descriptor of it: the byte is free although the child lives."""
    lock = LockFile(path, 0o600)
    lock.try_hold(4)
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as child:
        assert child.stdout
        child.stdout.readline()  # exec has closed what is to be closed
        lock.close()
        assert is_held(path, 4) is False
        assert child.poll() is None
        child.communicate(b"\n")


def test_the_guard_waits_for_whoever_has_it(path: str) -> None:
    """A second one enters when the first has left, not before."""
    one, other = LockFile(path, 0o600), LockFile(path, 0o600)
    order: list[str] = []

    def enter() -> None:
        with other.guard():
            order.append("second")

    with one.guard():
        thread = threading.Thread(target=enter)
        thread.start()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    one.close()
    other.close()


def test_the_guard_gives_up(path: str) -> None:
    """After its time an error that names the file; the byte is left alone."""
    one, other = LockFile(path, 0o600), LockFile(path, 0o600)
    with one.guard(), pytest.raises(HistoryError) as caught, other.guard(wait_s=0.02):
        pass
    assert caught.value.where == path
    assert other.try_hold(0)
    one.close()
    other.close()


def test_the_guard_is_given_back_after_an_error(path: str) -> None:
    """What is done under it may fail."""
    lock = LockFile(path, 0o600)
    with pytest.raises(ValueError, match="x"), lock.guard():
        raise ValueError("x")
    assert is_held(path, 0) is False
    lock.close()


# --- processes ------------------------------------------------------------------------------


def test_this_process_is_alive() -> None:
    """Its own identity holds."""
    me = this_process()
    assert me.pid == os.getpid()
    assert me.start_ticks == start_ticks(os.getpid())
    assert is_alive(me)


def test_a_pid_that_was_given_away_again_is_another_process() -> None:
    """The same pid with other start ticks is not the one."""
    me = this_process()
    assert me.start_ticks is not None
    assert not is_alive(ProcessIdentity(me.boot_id, me.pid, me.start_ticks - 1))


def test_a_process_of_another_boot_is_dead() -> None:
    """The same pid and ticks after a reboot, or on another machine, are another process."""
    me = this_process()
    assert not is_alive(ProcessIdentity("00000000-0000-0000-0000-000000000000", me.pid, me.start_ticks))


def test_an_unknown_identity_is_not_alive() -> None:
    """Without boot id or start ticks nothing is claimed."""
    me = this_process()
    assert not is_alive(ProcessIdentity(None, me.pid, me.start_ticks))
    assert not is_alive(ProcessIdentity(me.boot_id, me.pid, None))


def test_a_process_that_ended_is_dead() -> None:
    """Buried: gone from /proc."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = ProcessIdentity(this_process().boot_id, child.pid, start_ticks(child.pid))
        assert is_alive(identity)
        child.communicate(b"\n")
    assert start_ticks(child.pid) is None
    assert not is_alive(identity)


def test_a_zombie_is_dead() -> None:
    """Ended but not yet buried by its parent: still in /proc, and does nothing any more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = ProcessIdentity(this_process().boot_id, child.pid, start_ticks(child.pid))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}").exists()
        assert not is_alive(identity)


def test_a_name_with_blanks_and_parentheses_is_no_riddle(tmp_path: Path) -> None:
    """The start ticks of a program called ``a ) 1 (b`` are read rightly."""
    program = tmp_path / "a ) 1 (b"
    program.symlink_to("/bin/cat")
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE) as child:
        before = start_ticks(os.getpid())
        ticks = start_ticks(child.pid)
        child.communicate(b"")
    assert before is not None
    assert ticks is not None
    assert ticks >= before
