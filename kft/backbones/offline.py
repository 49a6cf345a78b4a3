"""Whether kft may download: not with ``--offline``, nor where ``KFT_OFFLINE`` is set."""

from __future__ import annotations

import os

VARIABLE = "KFT_OFFLINE"


def is_offline() -> bool:
    """Says whether nothing may be downloaded."""
    return os.environ.get(VARIABLE, "").lower() not in ("", "0", "false", "no")


def go_offline() -> None:
    """Forbids downloads for this process and those it starts."""
    os.environ[VARIABLE] = "1"
