"""Namespaces: how a process tree gets its own `/opt/ml` and its own process ids (Linux), and
whether it can.

The launcher enters once (`enter`), every tree enters its workspace (`fork_tree`,
`enter_workspace`). As root directly; unprivileged through a user namespace; where the kernel allows
neither, the caller rewrites paths instead. Python 3.11 has no os.unshare, hence ctypes. Nothing
here starts a program: that is supervisor.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import socket
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

OPT_ML = Path("/opt/ml")
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_REMOUNT = 1, 32
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_CHILD_SUBREAPER = 36
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
# statvfs says it, mount must repeat it: an unprivileged remount may take no restriction back.
LOCKED = {os.ST_NOSUID: 2, os.ST_NODEV: 4, os.ST_NOEXEC: 8, os.ST_NOATIME: 1024} | {
    os.ST_NODIRATIME: 2048,
    os.ST_RELATIME: 1 << 21,
}


@dataclass(frozen=True)
class Isolation:
    """What this machine allows: an own mount table, own process ids, whether a user namespace is
    the way, and a network of a program's own.
    """

    mounts: bool
    pids: bool
    user: bool = False
    network: bool = False

    def describe(self) -> str:
        """For people: `python -m local_sagemaker status` and the tests print it."""
        if not self.mounts:
            return "paths rewritten, process groups"
        way = "unprivileged " if self.user else ""
        pids = "process id namespace" if self.pids else "process groups"
        network = ", network namespace on request" if self.network else ""
        return f"{way}mount namespace, {pids}{network}"


NONE = Isolation(mounts=False, pids=False)
# Best first; the first one that really works on this machine is used.
CANDIDATES = (
    Isolation(mounts=True, pids=True),
    Isolation(mounts=True, pids=True, user=True),
    Isolation(mounts=True, pids=False),
    Isolation(mounts=True, pids=False, user=True),
)


def probe() -> Isolation:
    """Try each candidate in a child, the whole way a job would go; NONE when nothing works."""
    if sys.platform != "linux":
        return NONE
    found = next((each for each in CANDIDATES if _works(each)), NONE)
    networked = replace(found, network=True)
    return networked if found.mounts and _works(networked) else found


def enter(isolation: Isolation) -> None:
    """Once, in the launcher: a private mount table in which /opt/ml exists. Raises OSError."""
    if not isolation.mounts:
        return
    if isolation.user:
        _enter_user_namespace()
    else:
        _unshare(CLONE_NEWNS)
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    if not OPT_ML.is_dir():
        try:
            OPT_ML.mkdir(parents=True, exist_ok=True)
        except OSError:
            _cover_opt()


def protect(isolation: Isolation, folders: Iterable[Path]) -> None:
    """Once, in the launcher, when it has imported what it wants: nobody started by it can write
    into these folders. Raises OSError.
    """
    for folder in folders if isolation.mounts else ():
        flags = os.statvfs(folder).f_flag
        kept = sum(mount for said, mount in LOCKED.items() if flags & said)
        _mount(str(folder), str(folder), "", MS_BIND)
        _mount(str(folder), str(folder), "", MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def environments() -> list[Path]:
    """Where pip and its likes could install: our interpreter's folders, and those of the one below
    it, as far as this user may write into them.
    """
    names = ("purelib", "platlib", "scripts")
    below = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    found = [sysconfig.get_path(name) for name in names]
    found += [sysconfig.get_path(name, vars=below) for name in names]
    return sorted({Path(each).resolve() for each in found if os.access(each, os.W_OK)})


def leave_network(isolation: Isolation) -> None:
    """In a program's own process: from here on it and its children reach loopback alone, a
    loopback of their own. Raises OSError.
    """
    if not isolation.network:
        return
    _unshare(CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, up)


def fork_tree(isolation: Isolation) -> int:
    """Fork the first process of a tree: 0 in it, its pid (or its keeper's) in the launcher. Raises
    OSError.
    """
    if not isolation.pids:
        return os.fork()
    if isolation.user:
        return _fork_through_keeper()
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    _unshare(CLONE_NEWPID)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0:  # the launcher's next children are born at home again
            _check(_libc().setns(own, CLONE_NEWPID), "setns")
        os.close(own)
    return pid


def open_pids(pid: int) -> int:
    """The process id namespace that fork_tree made, by what it returned. Raises OSError."""
    return os.open(f"/proc/{pid}/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC)


def fork_into(pids: int) -> int:
    """Fork a process of another tree's namespace (open_pids). Raises OSError.

    The caller's next child is born there too unless it says otherwise: there may be no way back.
    """
    _check(_libc().setns(pids, CLONE_NEWPID), "setns")
    return os.fork()


def enter_workspace(isolation: Isolation, workspace: Path) -> None:
    """In a tree's first process: the workspace is /opt/ml from here on. Raises OSError."""
    own_mounts(isolation)
    bind_workspace(isolation, workspace)


def own_mounts(isolation: Isolation) -> None:
    """The half of enter_workspace that needs no workspace. Raises OSError."""
    if isolation.mounts:
        _unshare(CLONE_NEWNS)
        if isolation.pids:
            _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def bind_workspace(isolation: Isolation, workspace: Path) -> None:
    """The other half. Raises OSError."""
    if isolation.mounts:
        _mount(str(workspace), str(OPT_ML), "", MS_BIND | MS_REC)


def adopt_orphans() -> None:
    """Descendants whose parent died become this process's children (Linux; elsewhere they flee)."""
    if sys.platform == "linux":
        _check(_libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def exit_code(status: int) -> int:
    """0..255 as the program gave it, 128 + n when signal n ended it (what a shell shows)."""
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _fork_through_keeper() -> int:
    # Without privileges there is no way back from unshare(CLONE_NEWPID): a child goes and stays.
    reader, writer = os.pipe()
    keeper = os.fork()
    if keeper:
        os.close(writer)
        os.read(reader, 1)  # until the namespace has its first process, or never will
        os.close(reader)
        return keeper
    try:
        _unshare(CLONE_NEWPID)
        first = os.fork()
    except OSError as problem:
        os.write(2, f"the local SageMaker cannot start a process tree: {problem}\n".encode())
        os._exit(126)
    os.close(writer)
    if first:
        _keep(first)
    os.close(reader)
    return 0


def _keep(first: int) -> NoReturn:
    os.closerange(3, 1 << 16)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, status = os.waitpid(first, 0)
    os._exit(exit_code(status))


def _enter_user_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    _unshare(CLONE_NEWUSER | CLONE_NEWNS)
    # Mapped to itself, not to root: programs that behave differently as root (tar restoring owners)
    # would fail.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _cover_opt() -> None:
    """Put a tmpfs over /opt that shows everything /opt had, and `ml` beside it."""
    opt = OPT_ML.parent
    entries = list(os.scandir(opt))
    behind = os.open(opt, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _mount("tmpfs", str(opt), "tmpfs", MS_NOSUID | MS_NODEV)
        for entry in entries:
            target = opt / entry.name
            if entry.is_symlink():
                target.symlink_to(os.readlink(entry.name, dir_fd=behind))
                continue
            target.mkdir() if entry.is_dir() else target.touch()
            _mount(f"/proc/self/fd/{behind}/{entry.name}", str(target), "", MS_BIND | MS_REC)
        OPT_ML.mkdir()
    finally:
        os.close(behind)


def _works(isolation: Isolation) -> bool:
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == 0
    code = 1
    with contextlib.suppress(BaseException), tempfile.TemporaryDirectory() as workspace:
        code = _rehearse(isolation, Path(workspace))
    os._exit(code)


def _rehearse(isolation: Isolation, workspace: Path) -> int:
    enter(isolation)
    pid = fork_tree(isolation)
    if pid:
        return exit_code(os.waitpid(pid, 0)[1])
    code = 1
    with contextlib.suppress(BaseException):
        enter_workspace(isolation, workspace)
        leave_network(isolation)
        (OPT_ML / "probe").touch()
        code = 0 if (workspace / "probe").exists() else 1
    os._exit(code)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unshare(flags: int) -> None:
    _check(_libc().unshare(flags), f"unshare({flags:#x})")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    result = _libc().mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, None)
    _check(result, f"mount {source} on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
