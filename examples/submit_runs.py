"""Random and self-entropy masking over two seeds, through the service, and a table at the end.

    entromask up                              # in another terminal
    python examples/submit_runs.py
    python examples/submit_runs.py --set pretraining.budget.steps=300

ENTROMASK_API_URL and ENTROMASK_API_KEY say which service.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import mean

from entromask import Client, RunSpec
from entromask.errors import EntromaskError
from entromask.resources import Run

SPEC = Path(__file__).with_name("quick.yaml")
PRESETS = ("random", "self-entropy-sample")
SEEDS = (0, 1)


def submit(client: Client, overrides: list[str]) -> list[Run]:
    runs = []
    for preset in PRESETS:
        for seed in SEEDS:
            changes = [f"masking.preset={preset}", f"name={preset}", f"seed={seed}"]
            spec = RunSpec.load(SPEC, [*overrides, *changes])
            runs.append(client.create_run(spec, tags=["example"]))
            print(f"submitted {runs[-1].id}: {preset}, seed {seed}", flush=True)
    return runs


def print_table(runs: list[Run]) -> None:
    """One line for each preset: the mean score over its seeds, times 100."""
    tasks = sorted({task for run in runs for task in run.scores})
    print("  ".join([f"{'preset':<20}", *(f"{task:>12}" for task in tasks)]))
    for preset in PRESETS:
        mine = [run for run in runs if run.name == preset]
        scores = [100 * mean(run.scores[task] for run in mine) for task in tasks]
        print("  ".join([f"{preset:<20}", *(f"{score:>12.1f}" for score in scores)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", dest="overrides")
    overrides = parser.parse_args().overrides
    with Client() as client:
        runs = [client.wait(run) for run in submit(client, overrides)]
    for run in runs:
        if run.status != "succeeded":
            why = run.error.message if run.error else run.status
            print(f"{run.id} ({run.name}, seed {run.seed}): {why}", file=sys.stderr)
    if any(run.status != "succeeded" for run in runs):
        return 1
    print_table(runs)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EntromaskError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
