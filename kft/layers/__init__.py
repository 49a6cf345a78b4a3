"""What layers and optimizers of Keras need beside themselves."""
