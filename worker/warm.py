"""Imports what jobs need, in the server that they are forked from.

It runs no torch operation and asks nothing of CUDA: threads and devices do not survive a fork.
"""

from __future__ import annotations

import signal

# The whole group may be sent SIGTERM: the jobs answer it, this server ends with its worker.
signal.signal(signal.SIGTERM, signal.SIG_IGN)

import accelerate  # noqa: E402, F401
import torch  # noqa: E402, F401
import transformers  # noqa: E402, F401

import entromask.evaluating  # noqa: E402
import entromask.pipeline  # noqa: E402, F401
