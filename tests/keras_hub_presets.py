"""Small presets of KerasHub. It is an extra and slow to import, so nothing is at the top."""


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


def saved(folder, model, converter):
    model.save_to_preset(str(folder))
    converter.save_to_preset(str(folder))
    return str(folder)
