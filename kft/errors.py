"""Errors a user can fix. Anything else is a bug and keeps its traceback."""


class KftError(Exception):
    """Base of every error kft raises on purpose.

    Attributes:
        where: The config path or file at fault, such as ``phases[1].unfreeze.stages``.
        problem: What is wrong, with the value found and what was expected.
        fix: What to do next, as an order.
        exit_code: What the CLI exits with.
    """

    exit_code = 1

    def __init__(self, where: str, problem: str, fix: str) -> None:
        stop = "" if problem.endswith("?") else "."
        super().__init__(f"{where}: {problem}{stop} {fix}.")
        self.where = where
        self.problem = problem
        self.fix = fix


class ConfigError(KftError):
    """The run config or the command is not valid, alone or against the data and the backbone."""

    exit_code = 2


class DataError(KftError):
    """The data cannot be read."""


class BackboneError(KftError):
    """The pretrained backbone cannot be loaded, or does not fit the data."""


class TrainingError(KftError):
    """Training cannot go on; what was best so far is kept."""


class OutOfMemoryError(TrainingError):
    """The memory of a GPU, or of the computer, is too small for what is asked of it.

    Attributes:
        settings: What a run needs to go on, such as ``phases.1.batch_size=16``; none if no
            setting of a phase would do.
    """

    def __init__(self, where: str, problem: str, fix: str, settings: tuple[str, ...] = ()) -> None:
        super().__init__(where, problem, fix)
        self.settings = settings


class ExportError(KftError):
    """The trained model cannot be written, or answers differently when read back."""
