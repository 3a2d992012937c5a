"""The segment: one memory-mapped file a process, the only thing that probe and sidecar share."""

from ullage.segment.layout import Identity, Series, UnreadableSegmentError
from ullage.segment.reader import Snapshot, read_once, read_segment
from ullage.segment.writer import Hint, SegmentWriter

__all__ = [
    "Hint",
    "Identity",
    "SegmentWriter",
    "Series",
    "Snapshot",
    "UnreadableSegmentError",
    "read_once",
    "read_segment",
]
