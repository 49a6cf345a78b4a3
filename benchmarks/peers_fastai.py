"""One run of fastai for `peers.py`: its own recipe on the ImageNet weights that kft has.

    python benchmarks/peers_fastai.py FOLDER --weights FILE --out FILE [--seed 0] [--size 128]
        [--resize crop] [--augment]

FOLDER has ``train`` and ``test``, perhaps ``shift``, of class folders; FILE is from
`weights_for_torch.py`. The script is as fastai's documentation has it: ``vision_learner`` and
``fine_tune``, with its learning rate, batch size and head. It trains on all of ``train`` and
validates on nothing. The probabilities of the other folders go to OUT, as JSON.
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    DataLoaders,
    ImageBlock,
    IndexSplitter,
    Learner,
    Normalize,
    Resize,
    aug_transforms,
    get_image_files,
    imagenet_stats,
    parent_label,
    set_seed,
    vision_learner,
)

EPOCHS, HEAD_EPOCHS = 10, 3
BATCH = 64


def pretrained(weights: Path) -> torch.nn.Module:
    """Returns torchvision's MobileNetV2 with `weights` in its convolutions."""
    model = torchvision.models.mobilenet_v2()
    state = {
        name: torch.tensor(value) for name, value in pickle.loads(weights.read_bytes()).items()
    }
    # The file has all but the counters of batches, which nothing reads.
    missing, unexpected = model.features.load_state_dict(state, strict=False)
    strange = [*unexpected, *(name for name in missing if "num_batches_tracked" not in name)]
    if strange:
        raise SystemExit(f"{weights} does not fit MobileNetV2: {', '.join(strange)}")
    # vision_learner cuts a model off before its pooling, which here is none of its layers. It does
    # not heed `cut` (fastai 2.8.12).
    return torch.nn.Sequential(model.features, torch.nn.AdaptiveAvgPool2d(1))


def loaders(chosen: argparse.Namespace) -> DataLoaders:
    """Returns the training pictures, and no others."""
    # Normalised here, since vision_learner does it only for the models that it knows.
    varied = aug_transforms() if chosen.augment else []
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=lambda folder: sorted(get_image_files(folder)),
        get_y=parent_label,
        splitter=IndexSplitter([]),
        item_tfms=Resize(chosen.size, method=chosen.resize),
        batch_tfms=[*varied, Normalize.from_stats(*imagenet_stats)],
    )
    folder = chosen.folder / "train"
    # fastai drops the last batch if it is not full, so all there is where that is the only one.
    return block.dataloaders(folder, bs=min(BATCH, len(get_image_files(folder))))


def answers(learner: Learner, folder: Path) -> dict[str, list[float]]:
    """Returns the probabilities of each picture below `folder`, in the order of the classes."""
    files = sorted(get_image_files(folder))
    found, _ = learner.get_preds(dl=learner.dls.test_dl(files))
    names = [path.relative_to(folder).as_posix() for path in files]
    return dict(zip(names, found.tolist(), strict=True))


def main() -> None:
    """Trains, and writes the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--resize", default="crop")
    parser.add_argument("--augment", action="store_true")
    chosen = parser.parse_args()
    set_seed(chosen.seed, reproducible=True)
    dls = loaders(chosen)
    learner = vision_learner(dls, lambda **_: pretrained(chosen.weights), path=chosen.out.parent)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(EPOCHS, freeze_epochs=HEAD_EPOCHS)
        found: dict[str, Any] = {
            "classes": list(dls.vocab),
            "test": answers(learner, chosen.folder / "test"),
        }
        started = time.perf_counter()
        if (chosen.folder / "shift").is_dir():
            found["shift"] = answers(learner, chosen.folder / "shift")
        found["shift_seconds"] = time.perf_counter() - started
    chosen.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
