"""Ways to damage a segment's bytes, from a flipped bit to a header that claims the impossible."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable

from ullage.segment import layout as at

Damage = Callable[[bytearray, random.Random], None]

NUMBERS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1.0, 0.5, 2.0**31, 2.0**53, 1e308, -1e308, 5e-324)
HEADER_WORDS = (
    *range(at.EPOCH, at.CREATED_WALL + 1),
    *range(at.DROPPED_SERIES, at.DROPPED_SLOTS + 1),
    *range(at.JOURNAL_SLOT, at.JOURNAL_PAIRS + 4),
)


def flip_bits(data: bytearray, source: random.Random) -> None:
    """Flip a few bits anywhere."""
    for _ in range(source.randint(1, 64)):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def flip_used_bits(data: bytearray, source: random.Random) -> None:
    """Flip a few bits where there is something: the header, and the front of each table."""
    starts = (0, at.STRINGS, at.SERIES * 8, at.CELLS * 8, at.GAUGES * 8, at.SLOTS * 8, at.LEAKS * 8)
    for _ in range(source.randint(1, 16)):
        data[source.choice(starts) + source.randrange(1024)] ^= 1 << source.randrange(8)


def truncate(data: bytearray, source: random.Random) -> None:
    """Cut the file off."""
    del data[source.choice((0, 1, 8, at.HEADER_BYTES - 1, at.HEADER_BYTES, source.randrange(len(data)))) :]


def grow(data: bytearray, source: random.Random) -> None:
    """Append to the file."""
    data += source.randbytes(source.randint(1, 4096))


def zero(data: bytearray, source: random.Random) -> None:
    """Fill a part with zeros, or all of it."""
    start = source.choice((0, source.randrange(len(data))))
    end = source.choice((len(data), source.randint(start, len(data))))
    data[start:end] = bytes(end - start)


def overwrite(data: bytearray, source: random.Random) -> None:
    """Write random bytes over a part."""
    start = source.randrange(len(data))
    noise = source.randbytes(source.randint(1, 4096))[: len(data) - start]
    data[start : start + len(noise)] = noise


def shuffle(data: bytearray, source: random.Random) -> None:
    """Copy one part over another, as a lost page would."""
    size = source.choice((8, 64, 512, 4096))
    here, there = (source.randrange(0, len(data) - size, 8) for _ in range(2))
    data[here : here + size] = data[there : there + size]


def set_header_word(data: bytearray, source: random.Random) -> None:
    """Let the header say something odd: a huge count, no number, a journal that points elsewhere."""
    for _ in range(source.randint(1, 3)):
        _store(data, source.choice(HEADER_WORDS), _number(source))


def break_journal(data: bytearray, source: random.Random) -> None:
    """Announce a journal of random contents."""
    _store(data, at.JOURNAL_SEQUENCE, float(source.randrange(1, 99, 2)))
    for word in range(at.JOURNAL_SLOT, at.JOURNAL_PAIRS + 4):
        near = source.choice((at.SLOTS, at.CELLS, at.SCRATCH, at.END)) + source.randint(-9, 99)
        _store(data, word, source.choice((float(near), _number(source))))


def set_word(data: bytearray, source: random.Random) -> None:
    """Store odd numbers into the tables: cells, gauges, rows, slots, leaks."""
    for _ in range(source.randint(1, 8)):
        table = source.choice((at.SERIES, at.CELLS, at.GAUGES, at.SLOTS, at.LEAKS))
        _store(data, table + source.randrange(160), _number(source))


def swap_rows(data: bytearray, source: random.Random) -> None:
    """Let a series have another's spec, labels or cell."""
    words = [at.SERIES + source.randrange(20) * at.ROW_WORDS + source.randrange(at.ROW_WORDS) for _ in range(2)]
    data[words[0] * 8 : words[0] * 8 + 8] = data[words[1] * 8 : words[1] * 8 + 8]


def edit_text(data: bytearray, source: random.Random) -> None:
    """Change a letter, a digit or a separator in the strings, so that a spec reads otherwise."""
    for _ in range(source.randint(1, 6)):
        place = at.STRINGS + source.randrange(2048)
        data[place] = source.choice(b'|,.0123456789eE-naif\n"{}\\ _\xff\xc3')


DAMAGES: tuple[Damage, ...] = (
    flip_bits,
    flip_used_bits,
    truncate,
    grow,
    zero,
    overwrite,
    shuffle,
    set_header_word,
    break_journal,
    set_word,
    swap_rows,
    edit_text,
)


def damage(data: bytes, source: random.Random) -> bytes:
    """Return a damaged copy."""
    damaged = bytearray(data)
    source.choice(DAMAGES)(damaged, source)
    return bytes(damaged)


def _number(source: random.Random) -> float:
    return source.choice((*NUMBERS, float(source.randrange(at.END)), struct.unpack("d", source.randbytes(8))[0]))


def _store(data: bytearray, word: int, value: float) -> None:
    struct.pack_into("d", data, word * at.WORD, value)
