"""What this machine computes on: devices, their memory and precision, a seeded TensorFlow."""

import contextlib
import functools
import os
import platform
import sys
import tempfile
from collections.abc import Iterator

from nr_vqm.common import jax_processes

MAX_READING_THREADS = 16  # each holds a batch: 16 of `paper` are 0.6 GB; docs/scale.md has the clips/s of one


def chosen_precision(name: str) -> str:
    """Return the dtype policy of a setting: what `best_precision` says for 'auto', else the setting itself."""
    return best_precision() if name == "auto" else name


def best_precision() -> str:
    """Return the dtype policy to compute in: 'mixed_bfloat16' where it is fast, else 'float32'.

    On a processor without bfloat16 instructions it would be slower than float32.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if gpus := visible_gpus():
            capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
            return "mixed_bfloat16" if capability >= (8, 0) else "float32"
    elif keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":  # a TPU has no such number, and has bfloat16
            capability = float(getattr(jax.local_devices()[0], "compute_capability", 8))
            return "mixed_bfloat16" if capability >= 8 else "float32"
    return "mixed_bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def describe() -> str:
    """Return the hardware that TensorFlow computes on, in words for a table of results."""
    import tensorflow as tf

    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in visible_gpus()]
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


def start(device: str = "auto", *, hide_startup_lines: bool = False) -> None:
    """Import TensorFlow and let it, or JAX, see the devices asked for. Call it before the first operation.

    GPU memory is taken as it is needed, not all at once. With Keras on JAX TensorFlow only reads clips, without a GPU.

    Args:
        device: 'auto', all that there are; 'cpu'; 'gpu', all GPUs, of which there must be one; 'gpu:1' or '1', that
            GPU alone, counted from 0.
        hide_startup_lines: keep off the terminal what TensorFlow's compiled code prints while it is imported, which no
            setting silences: the process's stderr is turned away meanwhile. For processes that are ours alone.

    Raises:
        ValueError: an unknown device, or one that the machine lacks; an operation has run on others already.
    """
    number = gpu_number(device)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _stderr_turned_away() if hide_startup_lines else contextlib.nullcontext():
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if _on_jax():
        _start_jax(device, number)
        wanted = []
    elif device == "auto":
        wanted = visible_gpus()  # not all: who imports us may have chosen already
    else:
        wanted = [] if device == "cpu" else gpus if number is None else gpus[number : number + 1]
        if device != "cpu" and not wanted:
            raise ValueError(_missing_gpu(device, len(gpus)))
    try:
        tf.config.set_visible_devices(wanted, "GPU")
        for gpu in wanted:
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError) as error:  # who imports us has started TensorFlow, or divided its memory
        if device != "auto":
            raise ValueError(f"TensorFlow has started with other devices than {device!r}. Choose before.") from error


def gpu_number(device: str) -> int | None:
    """Return the number of the one GPU that is meant, or None; ValueError where `start` knows no such device."""
    number = device.removeprefix("gpu:")
    if number.isascii() and number.isdecimal():
        return int(number)
    if device in ("auto", "cpu", "gpu"):
        return None
    raise ValueError(f"A device is auto, cpu, gpu, or one GPU as gpu:0, gpu:1, ... Received: {device!r}.")


def _missing_gpu(device, found):
    return f"Device {device!r} was asked for, this machine has {found} GPUs. Use --device cpu or auto."


def _start_jax(device, number):
    import jax

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    elif device != "auto":
        if number is not None:
            jax.config.update("jax_cuda_visible_devices", str(number))
        if (
            jax_processes.COUNT not in os.environ and jax.default_backend() == "cpu"
        ):  # several processes must join first
            raise ValueError(_missing_gpu(device, 0))


@contextlib.contextmanager
def _stderr_turned_away():
    """Keep what is written to file descriptor 2 off the terminal; after an error it is shown."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        terminal = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            os.write(terminal, written.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _on_jax():
    """Whether Keras computes on JAX, without importing Keras."""
    return os.environ.get("KERAS_BACKEND") == "jax"


def visible_gpus() -> list:
    """List the GPUs that TensorFlow may use, as tf.config.PhysicalDevice."""
    import tensorflow as tf

    return tf.config.get_visible_devices("GPU")


@contextlib.contextmanager
def explained_memory(message: str) -> Iterator[None]:
    """Turn an error of a full device into a ValueError with this message: what was too large and what to change."""
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise ValueError(message) from error


def _is_out_of_memory(error):
    """Whether TensorFlow or JAX could not get the memory for an operation."""
    if _on_jax():
        import jax

        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    import tensorflow as tf

    return isinstance(error, tf.errors.ResourceExhaustedError)


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

    gpus = visible_gpus()
    if gpus and num_devices > len(gpus):
        raise ValueError(f"{num_devices} GPUs were asked for, {len(gpus)} can be used. Use --devices {len(gpus)}.")
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
    # Each process reads its own part of every batch: clip_batches.ClipBatches.
    devices = keras.distribution.list_devices()[:num_devices]
    parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    return parallel


def split_cpu(num_devices):
    """Make the CPU look like `num_devices` devices where there is no GPU. Before the first operation on it."""
    if _on_jax():
        own = max(1, num_devices // int(os.environ.get(jax_processes.COUNT, 1)))
        os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={own}")
        return
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    if num_devices > 1 and not visible_gpus():
        tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * num_devices)


def seed_everything(seed):
    """Seed Python, NumPy, Keras and TensorFlow.

    On a CPU the same seed then gives the same weights. TensorFlow's deterministic mode is not asked for: it changed
    no bit of them and took up to twice the time.
    """
    import keras

    keras.utils.set_random_seed(seed)
