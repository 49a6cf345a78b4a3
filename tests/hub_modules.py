"""Small SavedModels as TF-Hub has them, written without tensorflow_hub."""

import tensorflow as tf


class Reusable(tf.__internal__.tracking.AutoTrackable):
    """Batch normalisation, dropout, a regulariser and a table that reads a vocabulary.

    Takes ``(batch, 8)``; the table gives each example a row by the sign of its first number.
    """

    def __init__(self, vocabulary):
        super().__init__()
        random = tf.random.Generator.from_seed(1)

        def variable(name, *shape):
            return tf.Variable(random.normal(shape) / 2, name=name)

        self.kernel1 = variable("block1/kernel", 8, 6)
        self.gamma = tf.Variable(tf.ones(6), name="block1/norm/gamma")
        self.mean = tf.Variable(tf.zeros(6), trainable=False, name="block1/norm/mean")
        self.variance = tf.Variable(tf.ones(6), trainable=False, name="block1/norm/variance")
        self.kernel2 = variable("block2/kernel", 6, 6)
        self.bias = variable("block2/bias", 6)
        self.rows = variable("table/rows", 2, 6)
        file = tf.lookup.TextFileInitializer(
            str(vocabulary), "string", 0, "int64", tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(file, 1)
        self.trainable_variables = [self.kernel1, self.gamma, self.kernel2, self.bias, self.rows]
        statistics = [self.mean, self.variance]
        self.variables = [self.kernel1, self.gamma, *statistics, self.kernel2, self.bias, self.rows]
        self.regularization_losses = [self.penalty]

    @tf.function
    def __call__(self, x, training=False):
        hidden = tf.matmul(x, self.kernel1)
        if training:
            mean, variance = tf.nn.moments(hidden, [0])
            self.mean.assign(self.mean * 0.9 + mean * 0.1)
            self.variance.assign(self.variance * 0.9 + variance * 0.1)
        else:
            mean, variance = self.mean.read_value(), self.variance.read_value()
        hidden = (hidden - mean) * tf.math.rsqrt(variance + 1e-3) * self.gamma
        if training:
            hidden = tf.nn.dropout(hidden, 0.5)
        hidden = tf.nn.relu(tf.matmul(hidden, self.kernel2) + self.bias)
        words = tf.where(x[:, 0] > 0, "above", "below")
        return hidden + tf.gather(self.rows, self.table.lookup(words))

    @tf.function(input_signature=[])
    def penalty(self):
        return 0.1 * tf.reduce_sum(self.kernel2**2)


def save_reusable(folder):
    """A module to be fine-tuned; its path."""
    vocabulary = folder / "words.txt"
    vocabulary.write_text("above\nbelow\n")
    module = Reusable(vocabulary)
    spec = tf.TensorSpec((None, 8), tf.float32)
    for training in (False, True):
        module.__call__.get_concrete_function(spec, training=training)
    tf.saved_model.save(module, str(folder / "module"))
    return str(folder / "module")


class Doubles(tf.__internal__.tracking.AutoTrackable):
    """Dropout and no statistics. `extra` is called on the way, to do something unsafe."""

    def __init__(self, extra):
        super().__init__()
        self.kernel = tf.Variable(2 * tf.eye(8), name="kernel")
        self.variables = self.trainable_variables = [self.kernel]
        self.extra = extra

    @tf.function
    def __call__(self, x, training=False):
        x = self.extra(tf.matmul(x, self.kernel))
        return tf.nn.dropout(x, 0.5) if training else x


def save_doubles(folder, extra=tf.identity, options=None):
    """A module whose dropout shows which trace ran; its path."""
    module = Doubles(extra)
    spec = tf.TensorSpec((None, 8), tf.float32)
    for training in (False, True):
        module.__call__.get_concrete_function(spec, training=training)
    tf.saved_model.save(module, str(folder / "doubles"), options=options)
    return str(folder / "doubles")


class Words(tf.__internal__.tracking.AutoTrackable):
    """Looks words up, and gives its features a name."""

    def __init__(self):
        super().__init__()
        words = tf.lookup.KeyValueTensorInitializer(["low", "middle", "high"], [0, 1, 2])
        self.table = tf.lookup.StaticHashTable(words, 3)
        self.rows = tf.Variable(tf.random.Generator.from_seed(1).normal((4, 6)), name="words/rows")
        self.variables = self.trainable_variables = [self.rows]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def __call__(self, x):
        return {"default": tf.gather(self.rows, self.table.lookup(x))}


def save_words(folder):
    """A module of strings; its path."""
    tf.saved_model.save(Words(), str(folder / "words"))
    return str(folder / "words")


def save_signature_only(folder):
    """What a server takes, and nothing to be fine-tuned."""
    module = tf.Module()
    module.kernel = tf.Variable(tf.eye(8))

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="vectors")])
    def serve(vectors):
        return {"features": tf.matmul(vectors, module.kernel)}

    tf.saved_model.save(module, str(folder / "served"), signatures={"serving_default": serve})
    return str(folder / "served")


def save_first_generation(folder, extra=tf.identity):
    """A module of TensorFlow 1, as tensorflow_hub of that time wrote it."""
    path = folder / "first"
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = v1.placeholder("float32", (None, 8))
        kernel = v1.get_variable("kernel", initializer=tf.eye(8) * 3, use_resource=True)
        outputs = extra(tf.matmul(inputs, kernel))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        signature = v1.saved_model.predict_signature_def({"default": inputs}, {"default": outputs})
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    (path / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return str(path)
