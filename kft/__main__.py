"""``python -m kft`` is the ``kft`` command."""

from kft.cli import main

main(prog_name="kft")
