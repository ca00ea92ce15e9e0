"""What can go wrong between the stream and the disk."""

import errno
import re

from stins import StinsError

__all__ = ["NotOursError", "PathError", "RecorderError", "StorageError", "storage_error"]


class RecorderError(StinsError):
    """Base of the recorder's errors."""


class PathError(RecorderError):
    """A file name was refused; nothing was created."""


class NotOursError(RecorderError):
    """No recorder wrote this file; it is left as it is."""


class StorageError(RecorderError):
    """The disk, or HDF5, failed; what was flushed before stays readable."""


_REMEDIES = {
    errno.ENOSPC: "no space is left; make room, or record below another root",
    errno.EDQUOT: "the quota is used up; make room, or record below another root",
    errno.EACCES: "permission denied; the recorder's user must be able to write there",
    errno.EPERM: "not permitted; the recorder's user must be able to write there",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk reports an input/output error; look at the system log",
    errno.EEXIST: "it stands already, and nothing is ever overwritten; choose another name",
    errno.ENOENT: "the file or its folder is gone",
}


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

#: HDF5 raises some errors of a system call without its number; it stands in the text.
_NUMBER = re.compile(r"\berrno = (\d+)")


def storage_error(step: str, path: object, error: BaseException) -> StorageError:
    """The error of one step on one file, with what to do about it."""
    remedy = _REMEDIES.get(_number(error))
    return StorageError(f"{step} {path}: {remedy or ' '.join(str(error).split())}")


def no_room(error: BaseException | None) -> bool:
    """Whether it, or what it came from, says that the disk is full, or the quota used up."""
    return error is not None and (_number(error) in _NO_ROOM or no_room(error.__cause__))


def _number(error: BaseException) -> int:
    told = _NUMBER.search(str(error))
    return getattr(error, "errno", None) or (int(told[1]) if told else 0)
