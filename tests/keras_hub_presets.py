"""Small presets of KerasHub. It is an extra and slow to import, so nothing is at the top."""

import json


def save_preset(folder):
    """A residual network with fresh weights and its preprocessing; its path."""
    import keras_hub

    model = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(32, 32), scale=1 / 100, offset=[-1.0, 0.0, 1.0]
    )
    return saved(folder / "resnet", model, converter)


def save_transformer(folder):
    """A vision transformer for images of 16 pixels; its path."""
    import keras_hub

    model = keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16
    )
    converter = keras_hub.layers.ViTImageConverter(image_size=(16, 16), scale=1 / 255)
    return saved(folder / "vit", model, converter)


def save_hugging_face(folder):
    """A vision transformer as Hugging Face has it, for images of 16 pixels; its path."""
    import numpy as np
    from safetensors.numpy import save_file

    folder = folder / "vit-of-hugging-face"
    folder.mkdir()
    described = {
        "model_type": "vit",
        "image_size": 16,
        "patch_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "hidden_size": 8,
        "intermediate_size": 16,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
    }
    reads = {"size": {"height": 16, "width": 16}, "rescale_factor": 1 / 255, "resample": 2}
    reads |= {"do_normalize": True, "do_rescale": True, "do_resize": True}
    reads |= {"image_mean": [0.5, 0.25, 0.5], "image_std": [0.5, 0.5, 0.25]}
    for name, content in (("config", described), ("preprocessor_config", reads)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    random = np.random.default_rng(0)
    shapes = {
        "embeddings.cls_token": (1, 1, 8),
        "embeddings.position_embeddings": (1, 5, 8),
        "embeddings.patch_embeddings.projection.weight": (8, 3, 8, 8),
        "embeddings.patch_embeddings.projection.bias": (8,),
        "layernorm.weight": (8,),
        "layernorm.bias": (8,),
        **{
            f"encoder.layer.0.{name}.{kind}": shape if kind == "weight" else shape[:1]
            for name, shape in {
                "attention.attention.query": (8, 8),
                "attention.attention.key": (8, 8),
                "attention.attention.value": (8, 8),
                "attention.output.dense": (8, 8),
                "layernorm_before": (8,),
                "layernorm_after": (8,),
                "intermediate.dense": (16, 8),
                "output.dense": (8, 16),
            }.items()
            for kind in ("weight", "bias")
        },
    }
    weights = {f"vit.{name}": random.normal(0, 0.3, shape) for name, shape in shapes.items()}
    save_file(
        {name: value.astype("float32") for name, value in weights.items()},
        folder / "model.safetensors",
    )
    return str(folder)


def saved(folder, model, converter):
    model.save_to_preset(str(folder))
    converter.save_to_preset(str(folder))
    return str(folder)
