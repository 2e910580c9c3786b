"""A worker: a Celery process that takes jobs from one queue, and its one child that does them.

Nothing here imports torch: CUDA cannot be used after a fork.
"""

from __future__ import annotations

import logging
import mmap
import os
import secrets
import signal
import socket
import sys
import threading
from typing import Any

from celery import signals

from backend.db.engine import Database
from backend.queue import RUN_JOB, RUN_PREVIEW, TRAIN, TRAIN_QUEUES, celery
from entromask.settings import settings
from worker import previews
from worker.heartbeat import Heartbeat
from worker.logs import set_up_logging
from worker.patience import wait_for_servers
from worker.process import job_context, wait_until_warm
from worker.supervisor import Supervisor

_log = logging.getLogger("worker")


def serve(queue: str, name: str | None, gpu: str | None) -> None:
    """Serves a queue until SIGTERM or SIGINT; a job that is running then goes back to the queue."""
    set_up_logging()
    prepare_environment(gpu)
    host = socket.gethostname()
    worker_id = name or f"{host}-{os.getpid()}-{secrets.token_hex(2)}"
    wait_for_servers()
    # One byte that the child shares: 1 once this worker is to end.
    ending = mmap.mmap(-1, 1)
    if queue == TRAIN:
        _serve_jobs(worker_id, ending)
    else:
        _serve_previews()
    heartbeat = Heartbeat(worker_id, host, queue, ending)

    def on_ready(**_: Any) -> None:
        # Celery would start anew on SIGHUP; the end of a terminal ends a worker.
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        heartbeat.start()
        _log.info("ready worker=%s queue=%s pid=%d", worker_id, queue, os.getpid())

    def on_shutdown(**_: Any) -> None:
        ending[0] = 1

    signals.worker_ready.connect(on_ready, weak=False)
    signals.worker_shutting_down.connect(on_shutdown, weak=False)
    app = celery()
    app.conf.update(
        broker_connection_max_retries=None,
        worker_enable_remote_control=False,
        # A child that serves previews imports torch before it says that it is up.
        worker_proc_alive_timeout=300.0,
    )
    worker = app.Worker(
        queues=list(TRAIN_QUEUES) if queue == TRAIN else [queue],
        pool="prefork",
        concurrency=1,
        hostname=f"{worker_id}@{host}",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    heartbeat.end()
    _log.info("ended worker=%s", worker_id)
    sys.exit(worker.exitcode)


def prepare_environment(gpu: str | None) -> None:
    """What the libraries of a job's process read when they are imported."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    # Threads that wait for each other sleep soon (entromask.pipeline.share_processors).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Without it, tokenizers warns in every process that was forked.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # torch.cuda.is_available() asks the driver's library, and leaves CUDA untouched.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


def _serve_jobs(worker_id: str, ending: mmap.mmap) -> None:
    child: dict[str, Supervisor] = {}

    def on_child(**_: Any) -> None:
        # Made here: what belongs to the database may not cross a fork.
        database = Database(settings().database)
        context = job_context()
        child["supervisor"] = Supervisor(database, worker_id, context, ending)
        # Before any job comes: the first estimate rests on the speed that is measured.
        threading.Thread(target=wait_until_warm, args=(context,), daemon=True).start()

    def run_job(job_id: str) -> None:
        child["supervisor"].run(job_id)

    signals.worker_process_init.connect(on_child, weak=False)
    celery().task(run_job, name=RUN_JOB)


def _serve_previews() -> None:
    signals.worker_process_init.connect(previews.warm_up, weak=False)
    celery().task(previews.preview, name=RUN_PREVIEW, ignore_result=False)
