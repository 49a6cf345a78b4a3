"""The labels of a data set of tensorflow-datasets, and the target that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kft.data import TargetKind
from kft.errors import DataError
from kft.messages import closest, printable, quoted
from kft.sources.records.records import FeatureMap, lists_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow_datasets as tfds


def target_kind(builder: tfds.core.DatasetBuilder, features: FeatureMap) -> TargetKind:
    """The kind of target, judged by the type of the labels.

    Floats are values; a list, a vector, or several features are several labels; all else a class.
    """
    import numpy as np

    feature, is_list = feature_at(builder, features.labels[0])
    if np.issubdtype(feature.np_dtype, np.floating):
        return "value"
    several = is_list or len(features.labels) > 1 or len(feature.shape) == 1
    return "multilabel" if several else "class"


def feature_at(builder: tfds.core.DatasetBuilder, key: str) -> tuple[Any, bool]:
    """Returns the feature that `key` names, and whether an example has a list of them.

    Raises:
        DataError: There is none, or it has further ones in it.
    """
    import tensorflow_datasets as tfds

    where = f"data.name {builder.info.full_name!r}"
    feature, is_list = builder.info.features, False
    for part in key.split("/"):
        inner = feature if isinstance(feature, tfds.features.FeaturesDict) else {}
        if part not in inner:
            raise DataError(
                where,
                f"has no feature {key!r}{closest(part, inner)}",
                "Set data.features to names of features that are there",
            )
        feature = inner[part]
        if isinstance(feature, tfds.features.Sequence):
            feature, is_list = feature.feature, True
    if isinstance(feature, tfds.features.FeaturesDict):
        there = [f"{key}/{part}" for part in sorted(feature)]
        raise DataError(where, f"has further features in {key!r}", f"Name one of {quoted(there)}")
    return feature, is_list


def used_classes(
    builder: tfds.core.DatasetBuilder, features: FeatureMap, labels: np.ndarray
) -> tuple[np.ndarray, list[str] | None, list[str]]:
    """Returns the `labels` by name, the names that are used, in order, and those that are not.

    Labels that are no classes of the data set stay as they are.
    """
    import numpy as np
    import tensorflow_datasets as tfds

    feature, is_list = feature_at(builder, features.labels[0])
    if not isinstance(feature, tfds.features.ClassLabel) or len(features.labels) > 1:
        return labels, None, []
    used = {*np.concatenate([*labels] if is_list else [labels]).tolist()}
    if min(used, default=0) < 0:
        raise DataError(
            f"data.name {builder.info.full_name!r}",
            f"has {int((labels < 0).sum())} examples without a label among the others",
            "Use another data set, or prepare one of the examples with a label",
        )
    every = [printable(name) for name in feature.names]
    names = np.array(every)
    named = lists_of([names[row] for row in labels]) if is_list else names[labels]
    kept = [name for number, name in enumerate(every) if number in used]
    return named, kept, [name for name in every if name not in {*kept}]
