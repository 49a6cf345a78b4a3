"""``python -m kft`` is the ``kft`` command."""

from kft.cli.main import main

main(prog_name="kft")
