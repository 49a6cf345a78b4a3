"""Keras callbacks that a config names: which ones, and where those that write may write."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from kft.errors import ConfigError
from kft.messages import closest
from kft.settings.component import Settings, import_name, trusted_or_fault
from kft.storage.run_files import CALLBACKS

# What constructors raise of settings that they do not take.
SETTING_ERRORS = (TypeError, ValueError, AttributeError, KeyError, ImportError, ArithmeticError)
# The setting of each that names the file or folder that it writes, and what it is if left out.
WRITERS: dict[str, tuple[str, str | None]] = {
    "BackupAndRestore": ("backup_dir", None),
    "CSVLogger": ("filename", None),
    "ModelCheckpoint": ("filepath", None),
    "OrbaxCheckpoint": ("directory", None),
    "TensorBoard": ("log_dir", "logs"),
}
HARMLESS = (
    *("EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler", "ProgbarLogger"),
    *("ReduceLROnPlateau", "SwapEMAWeights", "TerminateOnNaN"),
)
# What ModelCheckpoint fills in: numbers only, in plain formats. ``{epoch:c}`` would make a ``/``.
FILLED_IN = re.compile(r"([^{}]|\{\w+(:[\d.]*[defg])?\})+")


class UserCallback(Settings):
    """A Keras callback to build; every key but ``kind`` goes to its constructor.

    The paths of Keras's CSVLogger, ModelCheckpoint and TensorBoard are relative to ``callbacks`` in
    the directory of the run. One that leads out of it, and a callback that sends to a URL, needs
    ``--trust keras``.

    Attributes:
        kind: ``module:Class``, such as ``keras.callbacks:EarlyStopping``.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]

    @model_validator(mode="after")
    def _check_trust(self, info: ValidationInfo) -> Self:
        trusted = (info.context or {}).get("trust")
        if trusted is not None and self.kind.startswith("keras.") and "keras" not in trusted:
            self._check_harmless()
        else:
            trusted_or_fault(self.kind, trusted)
        return self

    def _check_harmless(self) -> None:
        """Raises a fault unless this callback of Keras leaves all but the run's directory alone."""
        module, _, name = self.kind.partition(":")
        if module != "keras.callbacks" or name not in (*HARMLESS, *WRITERS):
            raise PydanticCustomError(
                "not_trusted",
                f"{self.kind!r} is none of Keras's callbacks that need no "
                f"trust{closest(name, (*HARMLESS, *WRITERS))}. If you trust it, add --trust keras",
            )
        if self.path is not None and not is_inside(self.path):
            raise PydanticCustomError(
                "not_trusted",
                f"{WRITERS[name][0]} {self.path!r} may lie outside the run. Give a path relative "
                f"to {CALLBACKS!r} in the run's directory, or add --trust keras if you trust it",
            )

    @property
    def path(self) -> Any:
        """The path that the callback writes to, as in the config; None if it writes nothing."""
        module, _, name = self.kind.partition(":")
        if module != "keras.callbacks" or name not in WRITERS:
            return None
        setting, default = WRITERS[name]
        return self.settings.get(setting, default)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return self.model_extra or {}

    def build(self, directory: Path) -> Any:
        """Returns a fresh callback: one that has seen a phase carries its state over.

        One of Keras's that writes does so in ``callbacks`` in the `directory` of the run.

        Raises:
            ConfigError: There is no such callback, or it does not take these settings.
        """
        import keras

        settings = dict(self.settings)
        if isinstance(self.path, str) and "://" not in self.path:
            setting, _ = WRITERS[self.kind.partition(":")[2]]
            settings[setting] = str(directory / CALLBACKS / self.path)
        try:
            made = import_name(self.kind)
            # Only a callback is called: ``keras`` can fetch files and load code.
            if not (isinstance(made, type) and issubclass(made, keras.callbacks.Callback)):
                raise TypeError("it is no subclass of keras.callbacks.Callback")
            built = made(**settings)
        except (PydanticCustomError, *SETTING_ERRORS) as error:
            raise ConfigError(
                f"callbacks {self.kind!r}",
                f"cannot be made: {error}",
                "Correct its settings: they are the arguments of the class",
            ) from error
        refuse_in_a_run(self.kind, built)
        return built

    def make_room(self, directory: Path) -> None:
        """Makes the folder that `build` lets it write to, which CSVLogger does not."""
        if isinstance(self.path, str) and "://" not in self.path:
            (directory / CALLBACKS / self.path).parent.mkdir(parents=True, exist_ok=True)


def is_inside(path: Any) -> bool:
    """Says whether `path` is a relative one that stays in its folder, on every system."""
    if not isinstance(path, str) or "://" in path or not FILLED_IN.fullmatch(path):
        return False
    windows = PureWindowsPath(path)
    absolute = windows.drive or windows.root or PurePosixPath(path).is_absolute()
    return not absolute and ".." not in windows.parts


def refuse_in_a_run(kind: str, callback: Any) -> None:
    """Raises ConfigError if `callback` would change what the phases decide."""
    import keras

    from kft.callbacks.trainable import ChangesTraining

    rate = 'Set the \'schedule\' of a phase; {"kind": "plateau"} lowers the rate on a plateau'
    instead = {
        keras.callbacks.ReduceLROnPlateau: rate,
        keras.callbacks.LearningRateScheduler: rate,
        keras.callbacks.BackupAndRestore: "Leave it out: it would restore one phase in another",
        keras.callbacks.SwapEMAWeights: "Leave it out: no optimizer here has averages to swap in",
    }
    fix = next((fix for taken, fix in instead.items() if isinstance(callback, taken)), None)
    if isinstance(callback, ChangesTraining):
        fix = callback.in_a_run
    if fix is not None:
        raise ConfigError(f"callbacks {kind!r}", "changes what the phases of a run decide", fix)
