"""Times as people write them: ``90s``, ``10m``, ``2h``."""

DURATION = r"^[0-9]+(\.[0-9]+)?[smh]$"


def in_seconds(duration: str) -> float:
    """The seconds of a `duration` that matches `DURATION`."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]
