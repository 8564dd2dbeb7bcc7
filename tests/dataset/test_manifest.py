import pytest

from nr_vqm.dataset import manifest, mos_scale


def row(**changes):
    values = {"video_id": 'a,\n"b"', "path": "/v/ü.mp4", "content": "c", "mos": 12.5, "mos_low": 0.0, "mos_high": 100.0}
    return manifest.Video(**{**values, **changes})


def test_round_trip(tmp_path):
    videos = [row(), row(video_id="2", frames=240, width=960, height=540, fps=29.97, status="ok", reason="x, y")]
    manifest.write(tmp_path / "manifest.csv", videos)
    assert manifest.read(tmp_path / "manifest.csv") == videos
    assert manifest.usable(tmp_path) == videos[1:]


@pytest.mark.parametrize(("mos", "unit_5"), [(0, 1), (100, 5), (50, 3), (12.5, 1.5)])
def test_scales_by_hand(mos, unit_5):
    assert mos_scale.to_unit_5(mos, 0, 100) == unit_5
    assert mos_scale.from_unit_5(unit_5, 0, 100) == mos


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mos_low", "low", "has no column 'mos_low'"),
        ("12.5", "high", "line 2: mos must be float, found 'high'"),
        ("12.5", "nan", "line 2: mos must be between"),
        ("12.5", "101", "line 2: mos must be between"),
    ],
)
def test_refusals(tmp_path, old, new, message):
    path = tmp_path / "manifest.csv"
    manifest.write(path, [row(video_id="a")])
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        manifest.read(path)


def test_a_quote_that_is_not_closed(tmp_path):
    path = tmp_path / "manifest.csv"
    manifest.write(path, [row(video_id="a")])
    path.write_text(path.read_text().replace("\na,", '\n"a,') + 140_000 * "b")
    with pytest.raises(ValueError, match=r"manifest\.csv cannot be read as csv \(field larger .* Check its quotes"):
        manifest.read(path)
