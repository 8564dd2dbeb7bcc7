"""The command `nr-vqm serve`: score uploaded videos in a web browser."""

import argparse
import sys

from nr_vqm import command_line, score_command
from nr_vqm.scoring import upload_server
from nr_vqm.video.work_limits import WorkLimits


def serve(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; return the exit code.

    Args:
        args: the options of `nr-vqm serve`.

    Raises:
        command_line.Refusal: the run is not usable, or the address cannot be listened on.
    """
    limits = upload_server.UploadLimits(round(args.max_upload * 1e6), args.max_duration, args.max_waiting)
    try:
        work = WorkLimits(max_pixels=args.max_pixels, max_seconds=args.max_seconds)
    except ValueError as error:
        raise command_line.Refusal(str(error), command_line.EXIT_USAGE) from error
    scorer = score_command.load_scorer(args, work)
    try:
        server = upload_server.UploadServer(scorer, host=args.host, port=args.port, limits=limits)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"Cannot listen on {args.host}:{args.port}: {reason}. Choose another --host or --port."
        raise command_line.Refusal(message, command_line.EXIT_USAGE) from error
    with server:
        print(f"Open {server.url} in a browser. Ctrl-C ends the server.", flush=True)
        if not server.is_local:
            print("Anyone who can reach this machine can upload videos, without encryption.", file=sys.stderr)
        server.serve_forever()
    return 0
