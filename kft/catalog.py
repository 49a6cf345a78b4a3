"""Every built-in kind, one line each. A config may also name its own as ``module:Class``."""

CATALOG: dict[str, dict[str, str]] = {
    "data": {
        "folder": "kft.sources.folder:Folder",
        "table": "kft.sources.table:Table",
        "arrays": "kft.sources.arrays:Arrays",
        "tfds": "kft.sources.tfds:Tfds",
        "tfrecord": "kft.sources.tfrecord:TfRecord",
        "digits": "kft.image.digits:Digits",
    },
    "input": {
        "image": "kft.image.input:ImageInput",
        "tensors": "kft.sources.tensors:Tensors",
    },
    "augmentation": {
        "flip": "kft.image.augment:Flip",
        "rotate": "kft.image.augment:Rotate",
        "shift": "kft.image.augment:Shift",
        "zoom": "kft.image.augment:Zoom",
        "random_crop": "kft.image.augment:RandomCrop",
        "brightness": "kft.image.augment:Brightness",
        "contrast": "kft.image.augment:Contrast",
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
        "sgd": "kft.optimizer:Sgd",
        "adam": "kft.optimizer:Adam",
        "adamw": "kft.optimizer:AdamW",
        "rmsprop": "kft.optimizer:RmsProp",
        "lion": "kft.optimizer:Lion",
    },
    "schedule": {
        "constant": "kft.schedule:Constant",
        "cosine": "kft.schedule:Cosine",
        "exponential": "kft.schedule:Exponential",
        "plateau": "kft.schedule:Plateau",
    },
    "unfreeze": {
        "none": "kft.unfreeze:UnfreezeNone",
        "all": "kft.unfreeze:UnfreezeAll",
        "top": "kft.unfreeze:UnfreezeTop",
        "from": "kft.unfreeze:UnfreezeFrom",
        "match": "kft.unfreeze:UnfreezeMatch",
        "gradual": "kft.unfreeze:UnfreezeGradual",
    },
    "exporter": {
        "saved_model": "kft.exporters.saved_model:SavedModelExporter",
    },
}
