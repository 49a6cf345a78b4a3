import pytest
import tensorflow as tf

from kft.engine.callbacks.tensorboard import TensorBoard

RECORD = {"epoch": 1, "loss": 2.0, "val_loss": 3.0, "learning_rate": 0.1}


def test_each_epoch_is_written_for_training_and_validation(tmp_path):
    board = TensorBoard(tmp_path)

    board.add(RECORD)
    board.close()

    tags = {}
    for name in ("train", "validation"):
        (file,) = (tmp_path / name).iterdir()
        events = map(
            tf.compat.v1.Event.FromString, tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        )
        tags[name] = [value.tag for event in events for value in event.summary.value]
    assert tags == {"train": ["loss", "learning_rate"], "validation": ["loss"]}


def test_a_folder_that_cannot_be_written_is_told_once_and_ends_nothing(tmp_path):
    (tmp_path / "taken").write_text("a file")

    with pytest.warns(UserWarning, match="taken is not written: "):
        board = TensorBoard(tmp_path / "taken")

    board.add(RECORD)
    board.close()
