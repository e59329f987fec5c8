"""Places in the file system: the default history's, private folders, files that are safe to read."""

from __future__ import annotations

import errno
import os
import stat

from executioner.lean import suppress

_LEAST_ROOM = 4096


def default_history() -> str:
    """Where the history is kept when nobody says otherwise (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):
        state = os.path.expanduser("~/.local/state")
    return os.path.join(state, "executioner", "history.db")


def config_paths(path: str) -> tuple[str, ...]:
    """The paths under which runs of a config file may be recorded; it need not exist any more."""
    plain = os.path.abspath(path)
    try:
        return tuple(dict.fromkeys((plain, os.path.realpath(plain))))
    except ValueError:  # no file can have such a name
        return (plain,)


def sync_folder(path: str) -> None:
    """Make the names in a folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def file_id(file: str | int) -> tuple[int, int] | None:
    """What tells a file, by its path or open, from another that takes its place; None where there is none."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def open_regular(path: str) -> int:
    """Open a regular file for reading. What is none is refused: a FIFO would block for ever.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
    raise OSError(errno.EINVAL, "it is not a regular file", path)


def take_room(folder: str, size: int) -> int | None:
    """Take room on a folder's disk, to be written to when nothing else fits any more.

    It is a file without a name, gone when it is closed: kill -9 leaves nothing of it.

    Args:
        folder: where it is to have a name one day.
        size: in bytes; of a disk with little room no more than half of it is taken.

    Returns:
        its descriptor; None where there is no room at all, or where the file system has no such files.
    """
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    size = max(_LEAST_ROOM, min(size, _free(fd) // 2))
    limit = 0
    while (fault := _take(fd, 0, size)) and size > _LEAST_ROOM:
        size //= 2
        limit = fault
    if fault:
        os.close(fd)
        return None
    if limit not in (0, errno.EFBIG):  # a quota: what it leaves is needed by others, too
        _cut(fd, size // 2)
    return fd


def enlarge_room(fd: int, size: int) -> bool:
    """Take more of what ``take_room`` took, up to ``size`` bytes: half of what is free at most, or nothing.

    Whether there may be still more. Where a quota leaves no more, half of what was taken is given back.
    """
    try:
        had = os.fstat(fd).st_size
    except OSError:
        return False
    size = min(size, had + (_free(fd) - had) // 2)
    if size <= had:
        return True
    fault = _take(fd, had, size)
    if fault == errno.EDQUOT:
        _cut(fd, had // 2)
    return not fault


def _free(fd: int) -> int:
    try:
        disk = os.fstatvfs(fd)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize


def _take(fd: int, had: int, size: int) -> int:
    """Give an open file blocks for so many bytes; why that failed, as a number, and else 0."""
    try:
        os.posix_fallocate(fd, had, size - had)
    except OSError as exc:
        _cut(fd, had)  # ext4 has kept what it could
        return exc.errno or errno.EIO
    return 0


def _cut(fd: int, size: int) -> None:
    with suppress(OSError):  # a disk that is broken, or read-only now
        os.ftruncate(fd, size)


def give_name(fd: int, path: str) -> None:
    """Give an open file without a name one. What has that name already is left alone.

    Raises:
        OSError: it cannot be given.
    """
    # as linkat(2) says; told a folder, os.link follows the link that stands for the descriptor
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(fd), path, src_dir_fd=descriptors)
    finally:
        os.close(descriptors)


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it, by their names."""
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def make_folder(path: str) -> None:
    """Make a folder and its missing parents, each 0700 whatever the umask.

    Raises:
        OSError: it cannot be made.
    """
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
            os.chmod(folder, 0o700)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise


def check_can_hold(path: str) -> None:
    """See whether a folder exists and can be written, or could be made.

    Raises:
        NotADirectoryError, PermissionError: it cannot; ``filename`` says where that fails.
    """
    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(20, "not a folder", path)
    # root may write anywhere by its rights, but not where the file system lets nobody: /proc
    if not os.access(path, os.W_OK | os.X_OK) or not os.stat(path).st_mode & 0o222:
        raise PermissionError(13, "not writable", path)
