"""What the figures mark."""

import pytest
from matplotlib.figure import Figure

from kft.figures import draw_found_rate, mark_selected
from kft.finder.found_rate import FoundRate

RECORDS = [{"epoch": epoch, "val_loss": 1 / epoch} for epoch in range(1, 6)]
HEAD = {"phase": "head", "epoch": 3}
SWEEP = [{"alpha": 0.0, "loss": 0.9}, {"alpha": 0.3, "loss": 0.1}]


@pytest.mark.parametrize(
    ("selected", "points", "label"),
    [
        ({"alpha": None}, [(5, 0.2)], "kept"),
        ({"alpha": 1.0, "start": HEAD}, [(5, 0.2)], "kept"),
        (
            {"alpha": 0.3, "start": HEAD, "sweep": SWEEP},
            [(3, 0.1), (5, 0.1)],
            "kept, between (alpha 0.3)",
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
