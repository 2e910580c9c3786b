"""`entromask leaderboard`: the ZIP of test predictions that gluebenchmark.com takes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entromask.errors import InputError

if TYPE_CHECKING:
    from entromask.glue.leaderboard import Chosen


def leaderboard(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Run folders, or ids under ENTROMASK_HOME/runs."),
    ],
    output: Annotated[
        Path, typer.Option(metavar="FILE.zip", help="Where to write it.", show_default=False)
    ],
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="The fine-tuning seed; default: of each task the best on validation."
        ),
    ] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="Put a constant prediction where a task is missing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the test predictions of runs as the ZIP that gluebenchmark.com takes.

    The runs need evaluation.predict_test: true. Of several runs with the same task the best on
    its validation set is taken.
    """
    from entromask.analysis import read_run
    from entromask.glue.leaderboard import answers_of, choose
    from entromask.glue.submission import FILES, check_submission, submission
    from entromask.text.cache import write_once

    if output.is_dir():
        raise InputError(f"{output} is a folder", "name a file, such as --output submission.zip")
    if output.exists() and not force:
        raise InputError(f"{output} is there already", "--force replaces it")
    chosen = choose([read_run(name) for name in runs], seed)
    answers = answers_of(chosen)
    missing = [file.name for file in FILES if file.name not in answers]
    if not answers or (missing and not fill):
        of_seed = "" if seed is None else f" of the fine-tuning seed {seed}"
        fills = ", or --fill to put a constant prediction there" if answers else ""
        raise InputError(
            f"there are no test predictions{of_seed} for {', '.join(missing)}",
            "add runs that have them (evaluation.predict_test: true; AX needs ax and mnli among "
            f"the tasks){fills}",
        )
    content = submission(answers)
    faults = check_submission(io.BytesIO(content))
    if faults:
        raise InputError(f"the submission would be refused: {'; '.join(faults)}")
    write_once(output.absolute(), content)
    for one in chosen:
        print(_choice(one, chosen_by_seed=seed is not None))
    if "AX.tsv" in answers:
        print("ax: by the model of mnli")
    if missing:
        print(f"a constant prediction, for want of a better one: {', '.join(missing)}")
    print(f"{output}: {len(FILES)} files; names, rows, index and labels are as the site wants them")


def _choice(one: Chosen, chosen_by_seed: bool) -> str:
    """A line on one task: what was taken and why."""
    taken = f"{one.task}: fine-tuning seed {one.seed} of {one.run.name}"
    score = f"{100 * one.score:.1f} on its development set"
    if chosen_by_seed or one.of == 1:
        return f"{taken}, {score}"
    return f"{taken}, chosen by the development set from {one.of} fine-tunings ({score})"
