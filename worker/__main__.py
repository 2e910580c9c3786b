"""`python -m worker --queue train|preview [--name N] [--gpu I]`."""

# Light on purpose: every process of a job imports this module once more.


def main() -> None:
    """Starts a worker and stays until it is told to end."""
    import argparse

    from backend.queue import PREVIEW, TRAIN

    parser = argparse.ArgumentParser(prog="python -m worker", description="A worker of Entromask.")
    parser.add_argument("--queue", choices=[TRAIN, PREVIEW], default=TRAIN)
    parser.add_argument("--name", help="how the worker is called in lists; default: made up")
    parser.add_argument("--gpu", help="the GPU that it uses; default: all that there are")
    arguments = parser.parse_args()
    from worker.service import serve

    serve(arguments.queue, arguments.name, arguments.gpu)


if __name__ == "__main__":
    main()
