"""Additions to the layers and optimizers of Keras."""
