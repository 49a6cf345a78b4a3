"""From a folder of images to a model that predicts, by the Python API.

Draws circles, squares and triangles into a folder for each class, lets `init_config` look at
them, shows what the config would train, runs it and predicts a few files. No network: the
backbone's ImageNet weights come with kft. Takes half a minute on two cores.

    python examples/folder_of_images.py             # works in a new temporary folder
    python examples/folder_of_images.py my_shapes   # or in a folder you name

The command line does the same: ``kft init shapes``, ``kft plan shapes.json``,
``kft run shapes.json``, ``kft predict runs/… FILES``.
"""

import random
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

import kft

SIZE = 96


def draw_shape(name: str, chance: random.Random) -> Image.Image:
    """Returns one picture: a shape of any colour, size and place on paper of any grey."""
    picture = Image.new("RGB", (SIZE, SIZE), (chance.randrange(150, 256),) * 3)
    colour = tuple(chance.randrange(0, 140) for _ in range(3))
    side = chance.randrange(40, 70)
    left, top = (chance.randrange(5, SIZE - side - 5) for _ in range(2))
    right, bottom = left + side, top + side
    draw = ImageDraw.Draw(picture)
    if name == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif name == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    else:
        draw.polygon([(left, bottom), (right, bottom), ((left + right) / 2, top)], fill=colour)
    return picture


def draw_folder(folder: Path, per_class: int = 30) -> None:
    """Writes ``folder/circle/0.png`` and so on."""
    chance = random.Random(0)
    for name in ("circle", "square", "triangle"):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            draw_shape(name, chance).save(folder / name / f"{number}.png")


def main(work: Path) -> None:
    """Runs the example in the folder `work`."""
    folder = work / "shapes"
    draw_folder(folder)

    written = kft.init_config(folder, work / "shapes.json")
    print(f"{written.path}:")
    for key, reason in written.reasons.items():
        print(f"  {key}: {reason}")

    # A shorter recipe than the default, so that this example ends soon.
    changes = [f"output_dir={work / 'run'}", "effort=quick", "refit=false"]
    config = kft.load_config(written.path, changes)

    for phase in kft.plan(config).phases:
        print(
            f"Phase {phase.name!r} trains {phase.trained_parameters:,} parameters in "
            f"{phase.epochs * phase.steps_per_epoch} steps"
        )

    result = kft.run(config)
    print(f"Test accuracy: {result.scores['test']['accuracy']:.3f}")

    files = [folder / name / "0.png" for name in ("circle", "square", "triangle")]
    for prediction in kft.predict(result.directory, files):
        best, score = prediction.answer["classes"][0].decode(), prediction.answer["scores"][0]
        print(f"{prediction.name}: {best} ({score:.2f})")
    for path in result.exports:
        print(f"SavedModel: {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="kft-")))
