"""python -m experiments.extract_features: 3D-CNN + videos -> <run>/features.h5."""

from concurrent.futures import ThreadPoolExecutor

from nr_vqm import commands


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import bundle, devices, manifest

    devices.quiet_tensorflow()
    videos = manifest.usable(args.data)
    for run in bundle.repeat_dirs(args.run):
        _extract_all(run, videos)


def _extract_all(run, videos):
    """Write features.h5 of one 3D-CNN, unless it is there."""
    from nr_vqm import bundle, features, files, scoring

    preset = bundle.read_preset(run)
    files.require(run / "cnn3d.keras", made_by="make train")
    file, made_from = features.FeatureFile(run), files.sha256(run / "cnn3d.keras")
    if file.made_from() == made_from:
        print(f"{file.path} is complete already.")
        return
    missing = [one for one in videos if not file.part(one.video_id, made_from).exists()]
    print(f"{len(missing)} of {len(videos)} videos to do", flush=True)
    with bundle.stage(run, "features"):
        trunk = scoring.load_trunk(run)
        # Two videos at a time: one decodes and waits for the disk while the other computes.
        with ThreadPoolExecutor(2) as pool:
            done = pool.map(lambda one: file.write_part(one.video_id, made_from, _extract(one, trunk, preset)), missing)
            for number, _ in enumerate(done, start=1):
                if number % 100 == 0:
                    print(f"{number} of {len(missing)} videos", flush=True)
        file.join(videos, made_from)
    print(f"Saved in {file.path}")


def _parser():
    parser = commands.new_parser("python -m experiments.extract_features", __doc__)
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    parser.add_argument("--run", required=True, help="a run folder with a trained 3D-CNN")
    return parser


def _extract(one, trunk, preset):
    from nr_vqm import features, video

    try:
        return features.extract(
            video.read_frames(one.path, one.raw),
            trunk=trunk,
            num_frames=one.frames,
            height=one.height,
            width=one.width,
            num_groups=preset.num_groups,
            block_grid=preset.block_grid,
            clip_frames=preset.clip_frames,
            clip_size=preset.clip_size,
            downscale=preset.downscale,
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"Video {one.video_id!r} was whole when it was prepared, and is not now: {error}") from error


if __name__ == "__main__":
    commands.run(main)
