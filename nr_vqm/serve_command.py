"""The command `nr-vqm serve`: score uploaded videos in a web browser."""

import argparse
import sys
from typing import TYPE_CHECKING

from nr_vqm import command_line
from nr_vqm.scoring import model_source, upload_server
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.scorer import Scorer


def serve(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; return the exit code.

    Args:
        args: the options of `nr-vqm serve`.

    Raises:
        command_line.Refusal: the run is not usable, or the address cannot be listened on.
    """
    limits = upload_server.UploadLimits(round(args.max_upload * 1e6), args.max_duration, args.max_waiting)
    scorer = _load(args)
    try:
        server = upload_server.UploadServer(scorer, host=args.host, port=args.port, limits=limits)
    except OSError as error:
        message = f"Cannot listen on {args.host}:{args.port}: {error.strerror or error}. Choose another --port."
        raise command_line.Refusal(message, command_line.EXIT_USAGE) from error
    with server:
        print(f"Open {server.url} in a browser. Ctrl-C ends the server.", flush=True)
        if not server.is_local:
            print("Anyone who can reach this machine can upload videos, without encryption.", file=sys.stderr)
        server.serve_forever()
    return 0


def _load(args: argparse.Namespace) -> "Scorer | FeatureScorer":
    """Load the run with limits that fit uploads."""
    try:
        limits = WorkLimits(max_pixels=args.max_pixels, max_seconds=args.max_seconds)
        source = model_source.find(args.run, args.head, engine=args.engine)
        source.check(precision=args.precision, device=args.device)
        source.start(args.device, hide_startup_lines=True)
        return source.load(precision=args.precision, device=args.device, limits=limits)
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), command_line.EXIT_NO_MODEL) from error
