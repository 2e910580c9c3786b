"""`python -m entromask`, the same as the command."""

from entromask.cli import main

if __name__ == "__main__":
    main()
