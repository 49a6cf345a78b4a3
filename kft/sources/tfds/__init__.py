"""Prepared data sets of tensorflow-datasets."""
