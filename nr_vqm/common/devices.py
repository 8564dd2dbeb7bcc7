"""Devices of this machine: selection, memory, numeric precision, replicas and random seeds."""

import contextlib
import functools
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from nr_vqm.common import jax_processes

NAMES = ("auto", "cpu", "gpu")  # of devices; gpu:0, gpu:1, ... are others
ENGINES = ("openvino", "keras")  # what computes the 3D-CNN of a scorer: an export's, and a run's
MAX_READING_THREADS = (
    16  # each holds a batch, 16 batches of preset paper take 0.6 GB; clips/s per thread: docs/scale.md
)


def chosen_precision(name: str) -> str:
    """Return the Keras dtype policy of a precision setting; 'auto' selects `best_precision`."""
    return best_precision() if name == "auto" else name


def best_precision() -> str:
    """Return the fastest Keras dtype policy of this machine: 'mixed_bfloat16' or 'float32'.

    On a processor without bfloat16 instructions mixed_bfloat16 would be slower than float32.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if gpus := visible_gpus():
            capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
            return "mixed_bfloat16" if capability >= (8, 0) else "float32"
    elif keras.backend.backend() == "jax":
        import jax

        if jax.default_backend() != "cpu":  # a TPU has no compute capability, and supports bfloat16
            capability = float(getattr(jax.local_devices()[0], "compute_capability", 8))
            return "mixed_bfloat16" if capability >= 8 else "float32"
    return "mixed_bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def describe() -> str:
    """Describe the hardware that TensorFlow uses, for example '2 x NVIDIA H100', for a table of results."""
    import tensorflow as tf

    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in visible_gpus()]
    if gpus:
        return f"{len(gpus)} x {gpus[0].get('device_name', 'GPU')}"
    return f"{cores()} cores, {_cpuinfo('model name').partition(':')[2].strip() or platform.machine()}"


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of_process() -> int:
    """Return the number of threads that this process may compute with: OMP_NUM_THREADS, or one per core.

    `parallel.map_in_order` sets OMP_NUM_THREADS in its worker processes to their share of the cores.
    """
    setting = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # it may have a number for each level
    return int(setting) if setting.isdecimal() and int(setting) else cores()


def reading_threads() -> int:
    """Return the number of threads to read clips with: one per core, limited by memory and by what a GPU needs."""
    return min(cores(), MAX_READING_THREADS)


def _cpu_flags() -> set[str]:
    return set(_cpuinfo("flags", "Features").split())


def _cpuinfo(*names: str) -> str:
    """Return the first line of /proc/cpuinfo that starts with one of the names, or an empty string."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line for line in file if line.startswith(names)), "")
    except OSError:  # not Linux
        return ""


def compiled(model: Any) -> Callable[..., Any]:
    """Compile a Keras model for inference, as one function of its inputs.

    TensorFlow traces the function once for all input shapes, JAX once per shape.

    Args:
        model: keras.Model.

    Returns:
        function of the input tensors that returns the output tensors.
    """
    import keras

    def infer(*inputs: Any) -> Any:
        return model(keras.tree.pack_sequence_as(model.input, inputs), training=False)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(one.shape, one.dtype) for one in model.inputs]
        # A new partial for every model: TensorFlow counts traces per function and would warn at the fifth model.
        # Without XLA, which was 2.8 times slower on a CPU.
        return tf.function(functools.partial(infer), signature, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(infer)
    return infer


def start(device: str = "auto", *, hide_startup_lines: bool = False) -> None:
    """Import TensorFlow and make the selected devices visible. Call it before the first operation.

    GPU memory is allocated as it is needed, not all at once. With the JAX backend, JAX uses the selected devices and
    TensorFlow, which then only reads clips, uses no GPU.

    Args:
        device: 'auto' for all devices; 'cpu'; 'gpu' for all GPUs, of which there must be at least one; 'gpu:1' or '1'
            for a single GPU, counted from 0.
        hide_startup_lines: redirect stderr of the process during the import, because no setting suppresses the lines
            that TensorFlow's compiled code prints. Only for processes that run no other program's code.

    Raises:
        ValueError: the device is unknown or does not exist, or TensorFlow has already used other devices.
    """
    number = gpu_number(device)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _stderr_hidden() if hide_startup_lines else contextlib.nullcontext():
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if _on_jax():
        _start_jax(device, number)
        wanted: list[Any] = []
    elif device == "auto":
        wanted = visible_gpus()  # not all GPUs: the importing program may have selected some
    else:
        wanted = [] if device == "cpu" else gpus if number is None else gpus[number : number + 1]
        if device != "cpu" and not wanted:
            raise ValueError(_missing_gpu(device, len(gpus)))
    try:
        tf.config.set_visible_devices(wanted, "GPU")
        for gpu in wanted:
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError) as error:  # the importing program has used TensorFlow or divided GPU memory
        if device != "auto":
            raise ValueError(
                f"TensorFlow has already started with other devices than {device!r}. Select the device first."
            ) from error


def gpu_number(device: str) -> int | None:
    """Return the index of a single GPU ('gpu:1' or '1'), or None for 'auto', 'cpu' and 'gpu'.

    Raises:
        ValueError: the device is unknown.
    """
    number = device.removeprefix("gpu:")
    if number.isascii() and number.isdecimal():
        return int(number)
    if device in NAMES:
        return None
    raise ValueError(f"A device is auto, cpu, gpu, or one GPU as gpu:0, gpu:1, ... Received: {device!r}.")


def _missing_gpu(device: str, found: int) -> str:
    return f"Device {device!r} was requested, this machine has {found} GPUs. Use --device cpu or auto."


def _start_jax(device: str, number: int | None) -> None:
    import jax

    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    elif device != "auto":
        if number is not None:
            jax.config.update("jax_cuda_visible_devices", str(number))
        # Several processes must join before JAX may initialise its backend.
        if jax_processes.COUNT not in os.environ and jax.default_backend() == "cpu":
            raise ValueError(_missing_gpu(device, 0))


@contextlib.contextmanager
def _stderr_hidden() -> Iterator[None]:
    """Hide output to file descriptor 2; after an error it is printed."""
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


def _on_jax() -> bool:
    """Return whether the Keras backend is JAX, without importing Keras."""
    return os.environ.get("KERAS_BACKEND") == "jax"


def visible_gpus() -> list[Any]:
    """List the GPUs that TensorFlow may use, as tf.config.PhysicalDevice."""
    import tensorflow as tf

    return tf.config.get_visible_devices("GPU")


@contextlib.contextmanager
def explain_out_of_memory(message: str) -> Iterator[None]:
    """Convert an out-of-memory error of the device into a ValueError.

    Args:
        message: states what was too large and what to change.
    """
    try:
        yield
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise ValueError(message) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory could not be allocated. Loads neither TensorFlow nor JAX: OpenVINO works without them."""
    if isinstance(error, MemoryError):
        return True
    if "jax" in sys.modules and isinstance(error, sys.modules["jax"].errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" in str(error)
    return "tensorflow" in sys.modules and isinstance(error, sys.modules["tensorflow"].errors.ResourceExhaustedError)


def replicas(num_devices: int) -> Any:
    """Create the distribution strategy for data-parallel training: one replica per device, each batch divided.

    Without a GPU the replicas run on CPU devices: these share the cores, so training is not faster, but it behaves as
    on GPUs. See docs/scale.md.

    Args:
        num_devices: number of devices, of all processes together.

    Returns:
        `tf.distribute.MirroredStrategy` or `keras.distribution.DataParallel`; build the network within its `scope()`.

    Raises:
        ValueError: fewer devices exist.
    """
    import keras

    if keras.backend.backend() == "jax":
        return _data_parallel(num_devices)
    import tensorflow as tf

    gpus = visible_gpus()
    if gpus and num_devices > len(gpus):
        raise ValueError(f"{num_devices} GPUs were requested, {len(gpus)} are available. Use --devices {len(gpus)}.")
    if not gpus and len(tf.config.list_logical_devices("CPU")) < num_devices:
        raise ValueError(
            f"{num_devices} CPU devices were requested after TensorFlow had started. Call split_cpu first."
        )
    if num_devices == 1:
        return tf.distribute.get_strategy()
    return _mirrored("GPU" if gpus else "CPU", num_devices)


@functools.cache
def _mirrored(device_type: str, num_devices: int) -> Any:
    """Return the one strategy of these devices in this process.

    Every new strategy numbers its collective operations from 100, and TensorFlow keeps the shape of each number. A
    second strategy would fail with "Shape mismatch in the collective instance 100" where its network has another size.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy([f"{device_type}:{number}" for number in range(num_devices)])


def _data_parallel(num_devices: int) -> Any:
    import jax
    import keras

    if num_devices > jax.device_count():
        raise ValueError(
            f"{num_devices} devices were requested, JAX has {jax.device_count()}. Use --devices {jax.device_count()}."
        )
    if jax.process_count() > 1 and num_devices != jax.device_count():
        raise ValueError(
            f"--devices counts the devices of all processes: {jax.device_count()}. Received: {num_devices}."
        )
    # clip_batches.ClipBatches reads a different part of every batch in each process.
    devices = keras.distribution.list_devices()[:num_devices]
    parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    return parallel


def split_cpu(num_devices: int) -> None:
    """Divide the CPU into logical devices if there is no GPU. Call it before the first operation."""
    if _on_jax():
        own = max(1, num_devices // int(os.environ.get(jax_processes.COUNT, 1)))
        os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={own}")
        return
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    if num_devices > 1 and not visible_gpus():
        tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * num_devices)


def seed_everything(seed: int) -> None:
    """Seed the random generators of Python, NumPy, Keras and TensorFlow.

    On a CPU the same seed then gives the same weights. TensorFlow's deterministic mode is not enabled: it gave the
    same weights to the bit and took up to twice the time.
    """
    import keras

    keras.utils.set_random_seed(seed)
