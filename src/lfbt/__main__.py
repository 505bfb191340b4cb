"""`python -m lfbt` is the command `lfbt`."""

from lfbt.cli import main

if __name__ == "__main__":
    main()
