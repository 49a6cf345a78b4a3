"""Every built-in kind, one line each. A config may also name its own as ``module:Class``."""

CATALOG: dict[str, dict[str, str]] = {
    "data": {
        "folder": "kft.sources.folders.folder:Folder",
        "table": "kft.sources.tables.table:Table",
        "arrays": "kft.sources.arrays.arrays:Arrays",
        "tfds": "kft.sources.tfds.tfds:Tfds",
        "tfrecord": "kft.sources.records.tfrecord:TfRecord",
        "digits": "kft.image.digits:Digits",
    },
    "input": {
        "image": "kft.image.input:ImageInput",
        "tensors": "kft.sources.arrays.tensors:Tensors",
    },
    "augmentation": {
        "flip": "kft.image.augment:Flip",
        "rotate": "kft.image.augment:Rotate",
        "shift": "kft.image.augment:Shift",
        "zoom": "kft.image.augment:Zoom",
        "random_crop": "kft.image.augment:RandomCrop",
        "brightness": "kft.image.augment:Brightness",
        "contrast": "kft.image.augment:Contrast",
        "mild": "kft.image.augment:Mild",
        "rand_augment": "kft.image.rand_augment:RandAugment",
    },
    "backbone": {
        "keras_application": "kft.image.applications:KerasApplication",
        "keras_hub": "kft.image.keras_hub:KerasHub",
        "tf_hub": "kft.backbones.tf_hub:TfHub",
        "keras_file": "kft.backbones.keras_file:KerasFile",
        "kft_run": "kft.backbones.kft_run:KftRun",
    },
    "head": {
        "classifier": "kft.heads.classifier:Classifier",
        "multilabel": "kft.heads.multilabel:Multilabel",
        "regressor": "kft.heads.regressor:Regressor",
    },
    "optimizer": {
        "sgd": "kft.recipe.optimizer:Sgd",
        "adam": "kft.recipe.optimizer:Adam",
        "adamw": "kft.recipe.optimizer:AdamW",
        "rmsprop": "kft.recipe.optimizer:RmsProp",
        "lion": "kft.recipe.optimizer:Lion",
    },
    "schedule": {
        "constant": "kft.recipe.schedule:Constant",
        "cosine": "kft.recipe.schedule:Cosine",
        "exponential": "kft.recipe.schedule:Exponential",
        "plateau": "kft.recipe.schedule:Plateau",
    },
    "unfreeze": {
        "none": "kft.recipe.unfreeze:UnfreezeNone",
        "all": "kft.recipe.unfreeze:UnfreezeAll",
        "top": "kft.recipe.unfreeze:UnfreezeTop",
        "from": "kft.recipe.unfreeze:UnfreezeFrom",
        "match": "kft.recipe.unfreeze:UnfreezeMatch",
        "gradual": "kft.recipe.unfreeze:UnfreezeGradual",
    },
    "exporter": {
        "saved_model": "kft.exporters.saved_model:SavedModelExporter",
    },
}

# The input that `kft init` takes unless it is told another.
USUAL_INPUT = "image"
