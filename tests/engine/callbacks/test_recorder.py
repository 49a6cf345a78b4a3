"""Each epoch that counts is a line of metrics.jsonl."""

import json

from tiny import phase, training

from kft.engine.train import train
from kft.recipe.unfreeze import UnfreezeAll


def test_every_epoch_of_every_phase_is_recorded_once(task, splits, tmp_path):
    phases = [phase("head"), phase("tune", epochs=3, unfreeze=UnfreezeAll())]

    results = train(training(task, splits, directory=tmp_path), phases)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["epoch"]) for line in lines] == [
        ("head", 1),
        ("head", 2),
        ("tune", 3),
        ("tune", 4),
        ("tune", 5),
    ]
    assert lines == [dict(record) for result in results for record in result.epochs]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= lines[0].keys()
    assert list((tmp_path / "tensorboard" / "validation").iterdir())
