"""Becomes the command in its arguments, and ends with its parent even where that is killed.

Run as a file, with the parent's process id first. Only Linux has the means; elsewhere the next
`entromask up` ends what is left over.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)  # it was gone before we asked to be told
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
