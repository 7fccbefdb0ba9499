"""``python -m dasksor``: the command line."""

from dasksor.cli import main

if __name__ == "__main__":
    main(prog_name="dasksor")
