"""Selection of devices and precision, and the message about a device whose memory is full."""

import os
import types

import numpy as np
import pytest
import tensorflow as tf

import nr_vqm
from nr_vqm import cli, command_line
from nr_vqm.common import devices


@pytest.fixture
def gpus(monkeypatch):
    """Two simulated GPUs, and the settings that TensorFlow receives for them."""
    found = [tf.config.PhysicalDevice(f"/physical_device:GPU:{number}", "GPU") for number in range(2)]
    state = types.SimpleNamespace(found=found, visible=found, growing=[])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: state.found)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: state.visible)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda chosen, kind: setattr(state, "visible", chosen))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, on: state.growing.append((gpu, on)))
    return state


@pytest.mark.parametrize(
    ("device", "chosen"), [("auto", [0, 1]), ("gpu", [0, 1]), ("gpu:1", [1]), ("0", [0]), ("cpu", [])]
)
def test_selected_gpus_are_visible_and_allocate_memory_as_needed(gpus, device, chosen):
    devices.start(device)
    assert devices.visible_gpus() == gpus.visible == [gpus.found[number] for number in chosen]
    assert gpus.growing == [(gpu, True) for gpu in gpus.visible]


def test_auto_keeps_the_selection_of_the_importing_program(gpus):
    gpus.visible = gpus.found[1:]
    devices.start("auto")
    assert gpus.visible == gpus.found[1:]


@pytest.mark.parametrize("device", ["gpu:2", "7"])
def test_a_gpu_that_does_not_exist_is_refused(gpus, device):
    with pytest.raises(ValueError, match=f"Device '{device}' was requested, this machine has 2 GPUs. Use --device cpu"):
        devices.start(device)
    assert gpus.visible == gpus.found


def test_a_machine_without_a_gpu():
    devices.start("cpu")
    devices.start("auto")
    with pytest.raises(ValueError, match="Device 'gpu' was requested, this machine has 0 GPUs"):
        devices.start("gpu")


def test_a_selection_after_the_first_operation_is_refused(gpus, monkeypatch):
    def refuse(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    devices.start("auto")
    with pytest.raises(ValueError, match="has already started with other devices than 'gpu:1'. Select the device"):
        devices.start("gpu:1")


@pytest.mark.parametrize("device", ["tpu", "gpu:", "gpu:x", "-1", ""])
def test_an_unknown_device_is_refused_by_options_and_functions(device, capsys):
    with pytest.raises(ValueError, match="A device is auto, cpu, gpu, or one GPU"):
        devices.start(device)
    with pytest.raises(SystemExit) as ended:
        cli.main(["score", "x.mp4", "--run", "run", f"--device={device}"])
    assert ended.value.code == command_line.EXIT_USAGE
    assert "A device is auto, cpu, gpu" in capsys.readouterr().err


def test_a_gpu_that_does_not_exist_is_an_invalid_option_of_score(tiny_run, place_video, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.run(cli.main, ["score", str(place_video()), "--run", str(tiny_run), "--device", "gpu:0"])
    assert ended.value.code == command_line.EXIT_USAGE
    assert "this machine has 0 GPUs" in capsys.readouterr().err


def test_precision(tiny_run, place_video):
    assert devices.chosen_precision("float32") == "float32"
    assert devices.chosen_precision("auto") == devices.best_precision()
    scores = {}
    for precision in ("float32", "mixed_bfloat16"):
        scorer = nr_vqm.load(tiny_run, precision=precision)
        assert scorer.trunk._engine._dtype == {"float32": "float32", "mixed_bfloat16": "bfloat16"}[precision]
        scores[precision] = scorer.score(place_video())
        assert scores[precision].precision == scores[precision].to_dict()["precision"] == precision
    assert scores["float32"].quality == pytest.approx(scores["mixed_bfloat16"].quality, abs=0.05)
    with pytest.raises(ValueError, match="A precision is one of auto, float32, mixed_bfloat16. Received: 'float16'"):
        nr_vqm.load(tiny_run, precision="float16")


def test_loading_a_run_leaves_the_terminal_of_the_importing_program_alone(tiny_run, monkeypatch):
    def refuse(*descriptors):
        raise AssertionError(f"file descriptors {descriptors} were redirected")

    with monkeypatch.context() as patched:
        patched.setattr(os, "dup2", refuse)
        nr_vqm.load(tiny_run)


def fill_the_memory(*_):
    return tf.zeros([10**15], tf.uint8)  # more bytes than any machine has: the allocator itself raises


@pytest.mark.slow
def test_a_frame_that_exceeds_the_memory_gives_one_line(tiny_run, place_video, monkeypatch):
    scorer = nr_vqm.load(tiny_run)
    monkeypatch.setattr(scorer.trunk._engine, "_trunk", fill_the_memory)
    ((_, error),) = scorer.score_many([place_video()])
    assert isinstance(error.__cause__, tf.errors.ResourceExhaustedError)
    assert str(error) == (
        "The device's memory does not hold the network over frames of 44 x 30. Free what other processes use of it, or "
        "compute on the processor: --device cpu."
    )


def test_other_errors_are_not_converted():
    with pytest.raises(tf.errors.InvalidArgumentError), devices.explain_out_of_memory("too large"):
        raise tf.errors.InvalidArgumentError(None, None, "shapes")


@pytest.mark.parametrize("num_weights", [3, 4])
def test_trainings_of_different_networks_in_one_process_do_not_collide(num_weights):
    strategy = devices.replicas(2)

    @tf.function
    def step():
        return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(num_weights)))

    for of_replica in strategy.experimental_local_results(step()):
        np.testing.assert_array_equal(of_replica, np.full(num_weights, 2.0))
    assert devices.replicas(2) is strategy


@pytest.mark.parametrize(("setting", "threads"), [("3", 3), ("2,1", 2), ("0", None), ("many", None), (None, None)])
def test_threads_of_this_process(monkeypatch, setting, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert devices.threads_of_process() == (threads or len(os.sched_getaffinity(0)))
