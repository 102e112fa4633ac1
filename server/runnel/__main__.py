"""``python -m runnel`` is the command ``runnel``."""

from runnel.cli import main

main(prog_name="runnel")
