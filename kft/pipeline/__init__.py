"""Batches for training and evaluation, in `tf.data`."""
