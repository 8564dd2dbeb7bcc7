"""Interlaced frames: their conversion to progressive ones, with or without deinterlacing."""

from collections.abc import Iterable, Iterator

import av
import av.filter

INTERLACED = (
    "interlaced video, read as progressive: moving edges show combing, which changes the score; the option "
    "deinterlace removes it"
)
DEINTERLACED = "interlaced video, deinterlaced before it was scored (FFmpeg's bwdif)"
FILTERS = {
    # Without the flag libswscale converts all rows of a frame together, as FFmpeg's own conversion does. With the flag
    # it would take the chroma of every second row, which is wrong for progressive frames that carry the flag.
    False: ("setfield", "mode=prog"),
    True: ("bwdif", "mode=send_frame:deint=interlaced"),  # one frame for each; frames without the flag are unchanged
}


def to_progressive(
    frames: Iterable[av.VideoFrame], *, deinterlace: bool, warnings: list[str]
) -> Iterator[av.VideoFrame]:
    """Yield progressive frames, as many as there are; those before the first interlaced one pass unchanged.

    Args:
        frames: decoded frames.
        deinterlace: reconstruct the missing rows of each field, instead of only clearing the flag of interlaced frames.
        warnings: INTERLACED or DEINTERLACED is appended at the first interlaced frame.
    """
    graph: av.filter.Graph | None = None
    layout = ""
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None:
            warnings.append(DEINTERLACED if deinterlace else INTERLACED)
        if graph is None or layout != _layout(frame):
            yield from _last(graph)
            graph, layout = _filter_graph(frame, *FILTERS[deinterlace]), _layout(frame)
        graph.vpush(frame)
        yield from _ready(graph)
    yield from _last(graph)


def _filter_graph(frame: av.VideoFrame, name: str, arguments: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    middle, sink = graph.add(name, arguments), graph.add("buffersink")
    source.link_to(middle)
    middle.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    """Yield the frames that the graph has finished."""
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return


def _last(graph: av.filter.Graph | None) -> Iterator[av.VideoFrame]:
    """Yield the frames that the graph holds back until the end."""
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph)


def _layout(frame: av.VideoFrame) -> str:
    return f"{frame.width}x{frame.height} {frame.format.name}"
