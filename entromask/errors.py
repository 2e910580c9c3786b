"""Expected failures: one sentence that names the thing, and a hint what to do about it."""

from __future__ import annotations


class EntromaskError(Exception):
    """A failure that a user can understand; the command line shows no traceback for it.

    Args:
        message: one sentence that names the thing, its value and what is allowed.
        hint: what to do next.
    """

    exit_code = 1
    reason = "internal"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(EntromaskError, ValueError):
    """What the user gave cannot be used: a spec, a file, a folder, a name, an argument."""

    exit_code = 2
    reason = "user_error"


class DiskFullError(EntromaskError):
    """The disk has no room for what a run has to write."""

    exit_code = 2
    reason = "disk_full"


class DependencyMissingError(EntromaskError):
    """A package, or something on the Hub, that is needed and cannot be had now."""

    exit_code = 2
    reason = "dependency_missing"


class ProcessLostError(EntromaskError):
    """Another process of the same run has ended."""

    reason = "worker_lost"


class NonFiniteLossError(EntromaskError):
    """The training loss is not a number any more."""

    reason = "nan_loss"
