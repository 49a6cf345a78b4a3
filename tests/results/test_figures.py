"""What the figures mark, and that they are bounded and literal, whatever the data."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tiny import vector_split

from kft.data import Target
from kft.finder.found_rate import FoundRate
from kft.results.figures import draw_answers, draw_found_rate, draw_learning_curves, mark_selected
from kft.scoring.evaluate import Answers
from kft.scoring.metrics import scoring_of
from kft.storage.run_files import METRICS

RECORDS = [{"epoch": epoch, "val_loss": 1 / epoch} for epoch in range(1, 6)]
HEAD = {"phase": "head", "epoch": 3}
SWEEP = [{"alpha": 0.0, "loss": 0.9}, {"alpha": 0.3, "loss": 0.1}]


@pytest.mark.parametrize(
    ("selected", "points", "label"),
    [
        ({"alpha": None}, [(5, 0.2)], "selected"),
        ({"alpha": 1.0, "start": HEAD}, [(5, 0.2)], "selected"),
        (
            {"alpha": 0.3, "start": HEAD, "sweep": SWEEP},
            [(3, 0.1), (5, 0.1)],
            "selected, between (alpha 0.3)",
        ),
    ],
    ids=["an epoch", "the fine-tuned end", "between"],
)
def test_curves_mark_the_weights_that_were_kept(selected, points, label):
    axes = Figure().subplots()

    mark_selected(axes, {"epoch": 5, **selected}, RECORDS, "loss")

    (line,) = axes.lines
    assert list(map(tuple, line.get_xydata())) == points
    assert line.get_label() == label


def test_a_found_rate_is_drawn_beside_that_of_the_config(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    found = FoundRate(tuple(10.0**n for n in range(-6, 2)), (1.0, 1.0, 0.9, 0.5, 0.3, 0.2, 2, 9))

    draw_found_rate(found, 0.03, tmp_path / "rate.png")

    labels = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert "in the config: 3.0e-02" in labels
    (recommended,) = (label for label in labels if label.endswith("(recommended)"))
    assert f"{found.recommended:.1e}" in recommended
    assert drawn[0].axes[0].xaxis.get_major_formatter()(0.001, 0).startswith("1e")


ODD = ("$5_$10", "$\\frac{$", "<b>\x1b[31m%s{}", "a\tb\0c", "", "日本", "z" * 100_000)


def answers(target: Target, labels: np.ndarray, outputs: np.ndarray) -> Answers:
    """What a model says, with its scores."""
    return Answers(
        vector_split(len(labels)),
        outputs,
        np.zeros(len(labels)),
        scoring_of(target).scores(labels, outputs),
    )


def sizes(folder) -> dict[str, tuple[int, int]]:
    """The figures there, with their sides in pixels."""
    found = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            found[path.name] = image.size
    return found


def texts(figure: Figure) -> str:
    """All that stands in the first axes of a figure."""
    axes = figure.axes[0]
    return "\n".join(text.get_text() for text in [*axes.get_yticklabels(), axes.title])


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were written."""
    made, save = [], Figure.savefig

    def saved(figure, path, **settings):
        made.append(figure)
        save(figure, path, **settings)

    monkeypatch.setattr(Figure, "savefig", saved)
    return made


def test_class_names_are_drawn_letter_by_letter(tmp_path, drawn):
    target = Target("class", ODD)
    labels = np.arange(len(ODD))

    draw_answers(answers(target, labels, np.eye(len(ODD))[::-1]), target, tmp_path)

    assert max(sizes(tmp_path)["confusion_matrix.png"]) < 1_000
    for text in (
        "$5_$10",
        "<b>\\x1b[31m%s{}",
        "a\\tb\\x00c",
        f"{'z' * 15}…{'z' * 15}",
    ):
        assert text in texts(drawn[0]).splitlines()


@pytest.mark.parametrize("kind", ["class", "multilabel", "value"])
def test_odd_names_are_drawn_for_every_kind_of_target(tmp_path, kind):
    target = Target(kind, ODD)
    rows = np.eye(len(ODD), dtype="float32")
    labels = np.arange(len(ODD)) if kind == "class" else rows

    scores = scoring_of(target).scores(labels, rows)
    draw_answers(Answers(split_of(labels), rows, np.zeros(len(rows)), scores), target, tmp_path)

    assert len(sizes(tmp_path)) == 1


def split_of(labels: np.ndarray):
    """A split with these labels."""
    return replace(vector_split(len(labels)), labels=labels)


def test_of_many_classes_the_most_confused_pairs_are_drawn(tmp_path, drawn):
    count = 5_000
    target = Target("class", tuple(f"class {number}" for number in range(count)))
    labels = np.repeat(np.arange(count), 2)[:6_000]
    outputs = np.zeros((len(labels), count), "float32")
    outputs[np.arange(len(labels)), (labels + np.arange(len(labels)) % 2) % count] = 1
    outputs[10:14] = np.eye(count)[0]

    draw_answers(answers(target, labels, outputs), target, tmp_path)

    assert max(sizes(tmp_path)["confusions.png"]) < 1_500
    said = texts(drawn[0]).splitlines()
    assert said[0] == "class 5 → class 0"
    assert said[-1] == "30 of 3000 confusions, the most frequent"


def test_many_classes_without_a_confusion_are_drawn_too(tmp_path, drawn):
    target = Target("class", tuple(map(str, range(50))))

    draw_answers(answers(target, np.arange(50), np.eye(50)), target, tmp_path)

    assert "no class was taken for another" in texts(drawn[0])


def test_of_many_labels_the_worst_are_drawn(tmp_path, drawn):
    target = Target("multilabel", tuple(f"label {number}" for number in range(1_000)))
    has = np.eye(1_000, dtype="float32")[:500]
    said = has.copy()
    said[7, 7] = 0

    draw_answers(answers(target, has, said), target, tmp_path)

    assert max(sizes(tmp_path)["labels.png"]) < 3_000
    assert texts(drawn[0]).splitlines()[0] == "label 7 (1)"
    assert "30 of 1000 labels, those with the lowest F1" in texts(drawn[0])


def test_of_many_values_the_first_are_drawn(tmp_path):
    target = Target("value", tuple(map(str, range(500))))
    rows = np.random.default_rng(0).normal(size=(20, 500)).astype("float32")

    draw_answers(Answers(split_of(rows), rows, np.zeros(len(rows)), {}), target, tmp_path)

    assert max(sizes(tmp_path)["values.png"]) < 6_000


@pytest.mark.parametrize(
    "metrics", [{}, {"accuracy": 0.5, "val_accuracy": 0.6}], ids=["loss", "more"]
)
def test_learning_curves_are_drawn_with_and_without_a_metric(tmp_path, metrics):
    record = {"phase": "$5_$10" * 1_000, "epoch": 1, "loss": 1.0, "val_loss": 2.0, **metrics}
    (tmp_path / METRICS).write_text(json.dumps(record) + "\n")

    draw_learning_curves(tmp_path, {"epoch": 1, "alpha": None}, tmp_path / "curves.png")

    assert sizes(tmp_path) == {"curves.png": (600 * (1 + bool(metrics)), 480)}
