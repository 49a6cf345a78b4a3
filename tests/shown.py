"""What a person is shown meanwhile."""

from contextlib import contextmanager
from types import SimpleNamespace

from kft.progress import shown_on


@contextmanager
def shown_lines():
    """Gives the lines that are shown within it."""
    lines = []
    with shown_on(SimpleNamespace(is_terminal=False, print=lambda line, **_: lines.append(line))):
        yield lines
