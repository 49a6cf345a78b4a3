"""Bounds of settings: a larger value is refused before it takes memory.

Each bound is far above what is of use, and far below what fills a machine or takes for ever.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MIB = 2**20
# Of files that are read as a whole.
MOST_CONFIG_BYTES = 16 * MIB
MOST_TABLE_BYTES = 512 * MIB
MOST_EXAMPLE_BYTES = 1024 * MIB
# Of a table: each cell takes about 100 bytes of memory.
MOST_CELLS = 50_000_000
# The labels of all examples are one array of a number for each label.
MOST_LABEL_BYTES = 4096 * MIB
# Of the values in a config, wherever they stand in it.
DEEPEST = 32
MOST_VALUES = 200_000
LONGEST_NAME = 255  # bytes of one part of a path, on the disks of Linux and macOS
LONGEST_PATH = 4096
LONGEST_TEXT = 100_000
# Larger whole numbers are no int64, and larger others infinite as float32.
LARGEST_WHOLE = 1e18
LARGEST_NUMBER = 3e38
# Of one tensor that is a single example.
MOST_NUMBERS = 2**28

Epochs = Annotated[int, Field(gt=0, le=100_000)]
BatchSize = Annotated[int, Field(gt=0, le=1_000_000)]
Side = Annotated[int, Field(gt=0, le=16_384)]
Units = Annotated[int, Field(gt=0, le=8_192)]
Views = Annotated[int, Field(ge=0, le=1_000)]
Operations = Annotated[int, Field(gt=0, le=100)]
MOST_PHASES = 1_000
MOST_FOLDS = 100
MOST_LAYERS = 10
