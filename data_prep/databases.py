"""One function per database: its label files -> manifest rows, unopened. docs/databases.md has the same for people.

A reader takes the database's folder as downloaded and the label files found in it. Every row of the labels becomes a
manifest row; one without a file on disk has the status `missing`. MOS stay on the database's own scale.
"""

import collections.abc
import csv
import dataclasses
import math
import re
from pathlib import Path

from data_prep import label_files
from data_prep.label_files import Labelled
from nr_vqm.dataset import manifest
from nr_vqm.video import raw_video


def konvid1k(root, labels):
    """KoNViD-1k: 1,200 videos of 960 x 540, every video its own content; MOS 1.22 to 4.64 on 1-5.

    From https://database.mmsp-kn.de/konvid-1k-database.html: KoNViD_1k_videos.zip and KoNViD_1k_metadata.zip.
    Files: <flickr id>.mp4, or <flickr id>_original_centercrop_960x540_8s.mp4 in some mirrors: the id tells.
    video_id: the Flickr id. Source: Hosu et al., QoMEX 2017.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["flickr_id", "mos"]):
        (video_id,) = label_files.name_parts(r"(\d+)", name, where)
        rows.append(Labelled(video_id, video_id, mos, video_id, f"KoNViD_1k_videos/{video_id}.mp4", where))
    return label_files.match(root, rows, key_of=_stem(r"(\d+)(?:_.*)?"), mos_range=(1, 5))


def live_qualcomm(root, labels):
    """LIVE-Qualcomm: 208 videos of 1920 x 1080 in 54 scenes; unBiasedMOS 16.56 to 73.64 on 0-100.

    From https://live.ece.utexas.edu/research/incaptureDatabase: raw 8-bit planar YUV 4:2:0 files at 30 frames a second
    in folders by distortion, and qualcommSubjectiveData.mat. A file that was converted keeps its name but the suffix.
    video_id: the file's name without suffix. Content: the scene, which several phones shot: the date and the word
    before the phone, lower-cased. Source: Ghadiyaram et al., IEEE TCSVT 2018.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["vidNames", "unBiasedMOS"]):
        video_id, date, scene = label_files.name_parts(r"((\d{4})_?([A-Za-z0-9]+?)_\w+)\.yuv", name, where)
        rows.append(Labelled(video_id, f"{date}_{scene}".lower(), mos, video_id.lower(), f"{video_id}.yuv", where))
    raw = dataclasses.asdict(raw_video.RawFormat(1920, 1080, "yuv420p", 30.0))
    return label_files.match(root, rows, key_of=_stem(r"(\w+)"), mos_range=(0, 100), **raw)


def live_vqc(root, labels):
    """LIVE-VQC: 585 videos of many sizes, every video its own content; MOS 6.22 to 94.29 on 0-100.

    From https://live.ece.utexas.edu/research/LIVEVQC: the folder Video with A001.mp4 ... and data.mat.
    video_id: the file's name without suffix. Source: Sinno and Bovik, IEEE TIP 2019.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["video_list", "mos"]):
        (video_id,) = label_files.name_parts(r"([A-Z]\d{3})\.mp4", name, where)
        rows.append(Labelled(video_id, video_id, mos, video_id.lower(), f"Video/{video_id}.mp4", where))
    return label_files.match(root, rows, key_of=_stem(r"([a-z]\d{3})"), mos_range=(0, 100))


def cvd2014(root, labels):
    """CVD2014: 234 videos of 5 scenes, 640 x 480 and 1280 x 720; realigned MOS -6.50 to 93.38 on -10 to 100.

    From https://doi.org/10.5281/zenodo.2646315: folders Test1 ... Test6 with a folder for every scene, and
    CVD2014_ratings/Realignment_MOS.csv. Realigning the six tests moved some MOS below 0: the scale's lower end is ours.
    video_id: Test01_City_D01. Content: the scene alone, for all tests filmed the same five.
    Source: Nuutinen et al., IEEE TIP 2016.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["File_name", "Realignment MOS|MOS"]):
        video_id, test, scene = label_files.name_parts(r"(Test0(\d)_(\w+)_D\d\d)(?:\.avi)?", name, where)
        path = f"Test{test}/{scene}/{video_id}.avi"
        rows.append(Labelled(video_id, scene.lower(), mos, video_id.lower(), path, where))
    return label_files.match(root, rows, key_of=_stem(r"(test0\d_\w+_d\d\d)"), mos_range=(-10, 100))


def youtube_ugc(root, labels):
    """YouTube-UGC: 1,149 of 1,380 videos have a MOS; 360p to 2160p, every video its own content; 1.24 to 4.68 on 1-5.

    From https://media.withyoutube.com: original_videos or the H.264 copies (<vid>_crf_10_ss_00_t_20.0.mp4), and the MOS
    as original_videos_MOS_for_YouTube_UGC_dataset.xlsx (its sheet MOS), or YOUTUBE_UGC_metadata.csv.
    video_id: the vid, Animation_360P-08c9. Source: Wang et al., MMSP 2019; Yim et al., arXiv 2002.12275.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["vid", "mos|MOS full"], sheet="MOS"):
        video_id, category, size = label_files.name_parts(r"(([A-Za-z]+)_(\d+P)-[0-9a-f]{4})", name, where)
        rows.append(Labelled(video_id, video_id, mos, video_id.lower(), f"{category}/{size}/{video_id}.mkv", where))
    return label_files.match(root, rows, key_of=_stem(r"([a-z]+_\d+p-[0-9a-f]{4})(?:_.*)?"), mos_range=(1, 5))


def lsvq(root, labels):
    """LSVQ: 38,811 videos of many sizes, every video its own content; MOS on 0-100.

    From https://github.com/baidut/PatchVQ: folders yfcc-batch1 ..., ia-batch1 ..., labels_train_test.csv and
    labels_test_1080p.csv. Lists of 'path, -1, -1, mos' are read too.
    video_id: yfcc-batch1/747. Source: Ying et al., CVPR 2021.
    """
    rows = []
    for path in labels:
        read = _lsvq_list(path) if path.suffix == ".txt" else label_files.read(path, ["name", "mos"])
        for where, (name, mos) in read:
            (video_id,) = label_files.name_parts(r"([\w-]+/[^/\\]+?)(?:\.mp4)?", name, where)
            rows.append(Labelled(video_id, video_id, mos, video_id, f"{video_id}.mp4", where))
    return label_files.match(root, rows, key_of=lambda path: f"{path.parent.name}/{path.stem}", mos_range=(0, 100))


def _lsvq_list(path):
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            if len(row) != 4:
                raise ValueError(f"{path} row {number} is of another version: 'path, -1, -1, mos' is needed.")
            yield f"{path} row {number}", (row[0], row[3])


def _stem(pattern):
    """function(path) -> the pattern's group in the file's name without suffix, lower-cased, or None."""

    def key_of(path):
        found = re.fullmatch(pattern, path.stem.lower(), re.ASCII)
        return found and found[1]

    return key_of


@dataclasses.dataclass(frozen=True)
class Database:
    """A reader, the names of its label files in order of preference, and what the whole database is known to hold.

    `contents` 0: every video is its own. `most`: more rows than this are another database; 0 takes `videos`.
    `several`: the labels are in more than one file.
    """

    read: collections.abc.Callable
    label_files: tuple[str, ...]
    videos: int
    mos: tuple[float, float]
    contents: int = 0
    contents_word: str = "contents"
    most: int = 0
    several: bool = False

    def facts(self):
        """One line for people."""
        contents = f"{self.contents or self.videos:,} {self.contents_word}"
        return f"{self.videos:,} videos, {contents}, MOS {self.mos[0]:.2f} to {self.mos[1]:.2f}"


DATABASES = {
    "konvid1k": Database(
        konvid1k,
        ("KoNViD_1k_attributes.csv", "KoNViD_1k_mos.csv", "KONVID_1K_metadata.csv"),
        videos=1200,
        mos=(1.22, 4.64),
    ),
    "live_qualcomm": Database(
        live_qualcomm,
        ("qualcommSubjectiveData.mat",),
        videos=208,
        contents=54,
        mos=(16.56, 73.64),
        contents_word="scenes",
    ),
    "live_vqc": Database(live_vqc, ("data.mat", "LIVE-VQC_data.mat"), videos=585, mos=(6.22, 94.29)),
    "cvd2014": Database(
        cvd2014,
        ("Realignment_MOS.csv", "CVD2014_Realignment_MOS.csv", "CVD2014_attributes.csv"),
        videos=234,
        contents=5,
        mos=(-6.5, 93.38),
        contents_word="scenes",
    ),
    "youtube_ugc": Database(
        youtube_ugc,
        ("original_videos_MOS_for_YouTube_UGC_dataset.xlsx", "YOUTUBE_UGC_metadata.csv"),
        videos=1149,
        mos=(1.24, 4.68),
        most=1500,
    ),
    "lsvq": Database(
        lsvq,
        ("labels_t*.csv", "LSVQ_whole_t*.csv", "LSVQ_labels_*.txt"),
        videos=38811,
        mos=(0, 100),
        most=39500,
        several=True,
    ),
}


def read(name, root, *, labels=None):
    """A database's videos, unopened.

    Args:
        name: a key of DATABASES.
        root: its folder.
        labels: its label file, where that is not below `root`; None searches.

    Returns:
        (list of manifest.Video, list of Path): the rows in label order, and the label files they are from.

    Raises:
        FileNotFoundError: no such folder, or no label file.
        ValueError: a label file of another version, a video twice, a MOS outside the range.
    """
    database = DATABASES[name]
    paths = label_files.find(root, database.label_files, several=database.several, labels=labels)
    videos = database.read(root, paths)
    most = database.most or database.videos
    if not 0 < len(videos) <= most:
        raise ValueError(
            f"{paths[0]} is another version of the label file: {name} has 1 to {most:,} videos, it lists "
            f"{len(videos):,}. Take the file that docs/databases.md names."
        )
    return videos, paths


def read_csv(root, *, mos_range):
    """Any database: <root>/labels.csv, or `root` itself a csv file, with columns path,mos[,content][,video_id].

    Raw .yuv files may have width,height,pixel_format,fps too; --raw is for all of them alike. mos_ci95, the half
    width of each MOS's 95 % interval, gives outlier ratios.

    Args:
        root: folder of the videos and labels.csv, or a csv file whose folder holds the videos.
        mos_range: (low, high), the ends of the MOS scale.

    Returns:
        list of manifest.Video. Without content every video is its own; without video_id it is the path.

    Raises:
        FileNotFoundError: no csv file.
        ValueError: a missing column, a MOS outside the range, a path outside the folder, two equal ids.
    """
    labels = csv_path(root)
    if not labels.is_file():
        raise FileNotFoundError(f"A csv file with columns path,mos is needed, there is no {labels}.")
    try:
        with open(labels, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{labels} must be UTF-8 text ({error}). Save it as that.") from error
    if not rows or not {"path", "mos"} <= set(rows[0]):
        found = ", ".join(filter(None, rows[0])) if rows else "no rows"
        raise ValueError(f"{labels} needs columns path and mos, found: {found}.")
    videos = [_csv_row(row, labels, mos_range, f"{labels} line {number}") for number, row in enumerate(rows, start=2)]
    for name in ("video_id", "path"):
        seen = set()
        for value in (getattr(one, name) for one in videos):
            if value in seen:
                raise ValueError(f"{labels}: every {name} must be there once, found twice: {value!r}.")
            seen.add(value)
    return videos


def csv_path(root):
    """The label file of `read_csv`."""
    return Path(root) if Path(root).is_file() else Path(root) / "labels.csv"


def _csv_row(row, labels, mos_range, where):
    if None in row:
        raise ValueError(f"{where} has more cells than the header has columns: {row[None]}. Quote cells with commas.")
    path = label_files.check_path(row["path"], where)
    one = manifest.Video(
        video_id=row.get("video_id") or row["path"],
        path=path,
        content=row.get("content") or row.get("video_id") or row["path"],
        mos=label_files.check_mos(row["mos"], mos_range, where, hint="Give the scale by --mos-range."),
        mos_low=float(mos_range[0]),
        mos_high=float(mos_range[1]),
        mos_ci95=_half_width(row.get("mos_ci95"), where),
    )
    if not (labels.parent / path).is_file():
        return dataclasses.replace(one, status=label_files.MISSING, reason=f"there is no file {labels.parent / path}")
    if not row.get("pixel_format"):
        return one
    try:
        raw = raw_video.parse("{width}x{height}:{pixel_format}:{fps}".format_map(row))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{where}: pixel_format needs width, height and fps too: {error}") from error
    return with_raw(one, raw)


def _half_width(text, where):
    """The half width of a MOS's 95 % interval; 0 for an empty cell or no such column."""
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: mos_ci95 must be a half width in the unit of the MOS, found {text!r}.")
    return value


def with_raw(one, raw):
    """The manifest row with a RawFormat."""
    return dataclasses.replace(one, **dataclasses.asdict(raw))
