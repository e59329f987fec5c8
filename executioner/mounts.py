"""What lies under a path: whether its file system is on another machine, and how much room it has."""

from __future__ import annotations

import os

#: File systems whose files other machines may change: locks and the shared memory of a
#: write-ahead log need not work there (https://www.sqlite.org/wal.html, "shared memory").
_NETWORK = frozenset(
    (
        "9p afs beegfs ceph cifs coda fuse.ceph fuse.glusterfs fuse.s3fs fuse.sshfs fuse.rclone"
        " glusterfs gpfs lustre ncpfs nfs nfs4 smb3 smbfs vboxsf"
    ).split()
)


def network_file_system(path: str, mounts: str = "/proc/self/mountinfo") -> str | None:
    """The type of the network file system that a path lies on, ``nfs4`` for example; None if on none.

    proc_pid_mountinfo(5): the third field of a line is the device, the first one after the hyphen the type.
    """
    try:
        device = os.stat(_existing(path)).st_dev
        if os.major(device):  # a disk of this machine; network file systems have no device
            return None
        with open(mounts, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return None
    wanted = f"{os.major(device)}:{os.minor(device)}".encode()
    for line in lines:
        head, _, tail = line.partition(b" - ")
        fields = head.split()
        if len(fields) > 2 and fields[2] == wanted and tail:
            kind = os.fsdecode(tail.split()[0])
            return kind if kind in _NETWORK else None
    return None


def disk_of(path: str) -> int | None:
    """The number of the device that a path lies on; None if that cannot be told."""
    try:
        return os.stat(_existing(path)).st_dev
    except OSError:
        return None


def free_bytes(path: str) -> int | None:
    """How much an ordinary user may still write where a path lies; None if that cannot be told."""
    try:
        state = os.statvfs(_existing(path))
    except OSError:
        return None
    return state.f_bavail * state.f_frsize if state.f_blocks else None


def _existing(path: str) -> str:
    """A path, or the nearest folder above it that exists."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path
