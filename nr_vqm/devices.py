"""What this machine computes on: devices, their precision, a seeded and quiet TensorFlow."""

import functools
import os
import platform
import sys
import tempfile

from nr_vqm import processes

MAX_READING_THREADS = 16  # each holds a batch: 16 of `paper` are 0.6 GB; docs/scale.md has the clips/s of one


def best_precision():
    """The dtype policy to compute in: 'mixed_bfloat16' where it is fast, else 'float32'.

    On a processor without bfloat16 instructions it would be slower than float32.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
            return "mixed_bfloat16" if capability >= (8, 0) else "float32"
    elif keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":  # a TPU has no such number, and has bfloat16
            capability = float(getattr(jax.local_devices()[0], "compute_capability", 8))
            return "mixed_bfloat16" if capability >= 8 else "float32"
    return "mixed_bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def describe():
    """The hardware that TensorFlow computes on, in words for a table of results."""
    import tensorflow as tf

    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if gpus:
        return f"{len(gpus)} x {gpus[0].get('device_name', 'GPU')}"
    return f"{cores()} cores, {_cpuinfo('model name').partition(':')[2].strip() or platform.machine()}"


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def reading_threads():
    """How many threads should read clips: all cores' worth, up to what one GPU can use and memory allows."""
    return min(cores(), MAX_READING_THREADS)


def _cpu_flags():
    return set(_cpuinfo("flags", "Features").split())


def _cpuinfo(*names):
    """The first line of /proc/cpuinfo that begins with one of the names; empty where there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line for line in file if line.startswith(names)), "")
    except OSError:  # not Linux
        return ""


def compiled(model):
    """A Keras model as one compiled function of its inputs, for inference.

    TensorFlow traces it once, whatever sizes come; JAX once for each.
    """
    import keras

    def infer(*inputs):
        return model(keras.tree.pack_sequence_as(model.input, inputs), training=False)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(one.shape, one.dtype) for one in model.inputs]
        # A partial of its own: TensorFlow counts tracings by code, and would warn at the fifth model.
        # No XLA: 2.8 times slower on a CPU.
        return tf.function(functools.partial(infer), signature, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(infer)
    return infer


def quiet_tensorflow():
    """Import TensorFlow with its start-up notes kept off the terminal; what went wrong is still shown."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as notes:
        # Written by compiled code before its logging can be set: only the file descriptor can be turned away.
        terminal = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def replicas(num_devices):
    """What trains on several devices at once: one replica of the network on each, every batch divided among them.

    On TensorFlow `tf.distribute.MirroredStrategy`; on JAX `keras.distribution.DataParallel` (docs/scale.md). CPU
    devices where there is no GPU: they share the same cores, nothing gets faster, and everything behaves as on GPUs.

    Returns:
        an object with `scope()`, within which the network is to be built.

    Raises:
        ValueError: there are fewer devices than asked for.
    """
    import keras

    if keras.backend.backend() == "jax":
        return _data_parallel(num_devices)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus and num_devices > len(gpus):
        raise ValueError(f"{num_devices} GPUs were asked for, this machine has {len(gpus)}. Use --devices {len(gpus)}.")
    if not gpus and len(tf.config.list_logical_devices("CPU")) < num_devices:
        raise ValueError(f"{num_devices} CPU devices were asked for after TensorFlow had started. Ask before.")
    if num_devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(num_devices)])


def _data_parallel(num_devices):
    import jax
    import keras

    if num_devices > jax.device_count():
        raise ValueError(
            f"{num_devices} devices were asked for, JAX has {jax.device_count()}. Use --devices {jax.device_count()}."
        )
    if jax.process_count() > 1 and num_devices != jax.device_count():
        raise ValueError(f"--devices counts those of all processes: {jax.device_count()} here, not {num_devices}.")
    # Each process reads its own part of every batch: inputs.ClipBatches.
    devices = keras.distribution.list_devices()[:num_devices]
    parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    return parallel


def split_cpu(num_devices):
    """Make the CPU look like `num_devices` devices where there is no GPU. Before the first operation on it."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        own = max(1, num_devices // int(os.environ.get(processes.COUNT, 1)))
        os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={own}")
        return
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    if num_devices > 1 and not tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * num_devices)


def seed_everything(seed):
    """Seed Python, NumPy, Keras and TensorFlow.

    On a CPU the same seed then gives the same weights. TensorFlow's deterministic mode is not asked for: it changed
    no bit of them and took up to twice the time.
    """
    import keras

    keras.utils.set_random_seed(seed)
