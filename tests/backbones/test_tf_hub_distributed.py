"""TF-Hub under MirroredStrategy, which needs two devices and so a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
    import sys
    from pathlib import Path

    import keras
    import numpy as np
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration(), tf.config.LogicalDeviceConfiguration()]
    tf.config.set_logical_device_configuration(cpu, two)

    import hub_modules
    from kft.backbones.tf_hub import TfHub

    rows = np.random.default_rng(0).normal(0, 1, (8, 8)).astype("float32")
    goals = np.arange(8, dtype="float32")[:, None]
    path = hub_modules.save_reusable(Path(sys.argv[1]))


    def trained(strategy):
        # Returns the names of what a step changed, and the values it ended with.
        with strategy.scope():
            backbone = TfHub(handle=path).load(tf.TensorSpec((8,), tf.float32))
            backbone.train_only([s for s in backbone.stages if s.name == "block2"])
            inputs = keras.Input((8,))
            outputs = keras.layers.Dense(1, kernel_initializer="ones")(backbone.applied()(inputs))
            model = keras.Model(inputs, outputs)
            model.compile(keras.optimizers.SGD(0.01), "mse")
        before = [v.numpy() for v in backbone.model.variables]
        losses = model.fit(rows, goals, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        pairs = list(zip(backbone.model.variables, before))
        changed = sorted(v.name for v, old in pairs if not np.array_equal(v.numpy(), old))
        ended = [v.numpy() for v in backbone.model.variables] + [backbone.model(rows).numpy()]
        return changed, ended, losses["loss"]


    one, mirrored = trained(tf.distribute.get_strategy()), trained(
        tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    )
    assert one[0] == mirrored[0] == ["block2.bias", "block2.kernel"], (one[0], mirrored[0])
    for alone, shared in zip(one[1], mirrored[1]):
        np.testing.assert_allclose(alone, shared, atol=1e-6)
    np.testing.assert_allclose(one[2], mirrored[2], rtol=1e-5)
"""


@pytest.mark.slow
def test_two_devices_train_the_same_variables_to_the_same_values(tmp_path):
    environment_path = [str(Path(__file__).parents[1]), *sys.path]
    script = f"import sys; sys.path[:0] = {environment_path!r}\n{textwrap.dedent(SCRIPT)}"

    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
