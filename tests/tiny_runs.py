"""Configs of runs that take seconds."""

from kft.config.run_config import RunConfig, load_config

PHASES = [
    {"name": "head", "epochs": 3, "optimizer": {"kind": "adam"}, "unfreeze": {"kind": "none"}},
    {"name": "tune", "epochs": 2, "optimizer": {"kind": "sgd"}, "unfreeze": {"kind": "all"}},
]


def config(directory, **settings) -> RunConfig:
    return load_config(
        {
            "output_dir": str(directory),
            "data": {"kind": "tiny:Ramp"},
            "backbone": {"kind": "tiny:TinyDense"},
            "phases": PHASES,
            **settings,
        }
    )
