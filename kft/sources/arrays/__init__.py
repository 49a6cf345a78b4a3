"""Arrays in memory, `.npz` files and `tf.data.Dataset`s."""
