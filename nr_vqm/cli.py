"""nr-vqm: score videos with a trained run."""

import csv
import json
import sys

from nr_vqm import commands

FORMATS = ("text", "json", "jsonl", "csv")


def main(argv=None):
    args = _parser().parse_args(argv)
    return args.command(args)


def entry_point():
    """What the installed `nr-vqm` calls."""
    commands.run(main)


def _parser():
    parser = commands.new_parser("nr-vqm", __doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    score = subparsers.add_parser(
        "score", help="print the quality of videos", description="Print the quality of videos."
    )
    score.add_argument("videos", nargs="+", metavar="VIDEO")
    score.add_argument("--run", required=True, metavar="DIR", help="a run folder with trained models")
    score.add_argument("--head", default="lstm", choices=("lstm", "svr"), help="what pools the clips (default: lstm)")
    score.add_argument("--format", default="text", choices=FORMATS, help="(default: text)")
    score.add_argument("--raw", metavar="WIDTHxHEIGHT:FORMAT:FPS", help="what .yuv files are: 1920x1080:yuv420p:30")
    score.set_defaults(command=_score)
    doctor = subparsers.add_parser(
        "doctor",
        help="look at versions, devices, codecs and disk",
        description="Look at versions, devices, memory, disk, and decode a test video of each codec.",
    )
    doctor.add_argument("--folder", default=".", metavar="DIR", help="where runs will be written (default: here)")
    doctor.set_defaults(command=_doctor)
    return parser


def _score(args):
    """Score every video; a failed one is a row with its error."""
    import nr_vqm
    from nr_vqm import raw_video

    raw = raw_video.parse(args.raw) if args.raw else None
    scorer = nr_vqm.load(args.run, head=args.head)
    rows = (_row(scorer, path, raw) for path in args.videos)
    failed = 0
    with _Output(args.format) as output:
        for row in rows:
            failed += row["status"] != "ok"
            output.add(row)
    return commands.EXIT_FAILED if failed else 0


def _doctor(args):
    """Print every finding; the exit code says whether all is well."""
    from nr_vqm import devices, doctor

    devices.quiet_tensorflow()
    failed = 0
    for finding in doctor.examine(args.folder):
        failed += not finding.ok
        print(f"{'ok' if finding.ok else 'FAILED':7s} {finding.name:14s} {finding.text}", flush=True)
    return commands.EXIT_FAILED if failed else 0


def _row(scorer, path, raw):
    try:
        return {"status": "ok", "error": "", **scorer.score(path, raw).to_dict()}
    except (ValueError, OSError) as error:
        return {"status": "failed", "error": str(error), "path": path}


class _Output:
    """Rows to standard output as they come; `json` as one list at the end."""

    COLUMNS = "path status mos mos_low mos_high quality head frames declared_frames warnings error".split()

    def __init__(self, format):
        self.format, self.rows = format, []

    def __enter__(self):
        if self.format == "csv":
            self.writer = csv.DictWriter(sys.stdout, self.COLUMNS, lineterminator="\n")
            self.writer.writeheader()
        return self

    def add(self, row):
        if self.format == "json":
            self.rows.append(row)
        elif self.format == "jsonl":
            print(json.dumps(row), flush=True)
        elif self.format == "csv":
            self.writer.writerow({**row, "warnings": "; ".join(row.get("warnings", ()))})
            sys.stdout.flush()
        else:
            print(_text(row), flush=True)

    def __exit__(self, kind, *exc):
        if self.format == "json" and kind is None:
            print(json.dumps(self.rows, indent=1))


def _text(row):
    if row["status"] != "ok":
        return f"failed  {row['path']}: {row['error']}"
    warnings = "".join(f"\n        warning: {warning}" for warning in row["warnings"])
    return f"{row['mos']:6.2f}  on {row['mos_low']:g}-{row['mos_high']:g}  {row['path']}{warnings}"


if __name__ == "__main__":
    entry_point()
