"""Seeded damage: cuts, flipped bits, splices, changed headers and numbers, hostile content."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_NUMBER = re.compile(rb"\d+")
_NUMBERS = (
    *(b"0", b"-1", b"1", b"-0.5", b"nan", b"inf", b"-inf", b"1e309", b"1e-320", b"", b" "),
    *(str(n).encode() for n in (2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, 2**64)),
    *(b"1000000000000000", b"9" * 400, b"9" * 5000, b"0x10", b"1_000", "\u0663".encode()),
)
_TOKENS = (
    *(b"\t", b"\n", b"\r\n", b"\0", b'"', b"'", b",", b"::", b"{", b"[", b"*a", b"&a ", b"!!int "),
    *(b"null", b"true", b"[PAD]", b"NaN", b"../../x", b"/etc/passwd", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"!!python/object/apply:os.system ['touch HARM']", b"<<: ", b"\xf0\x9f\x98\x80", b"- " * 40),
    b"__import__('os').system('touch HARM')",
)
# Where the header of a binary file ends at the latest; a zip has its list at the other end.
_HEADER = 256


def mutate(content: bytes, other: bytes, random: Random) -> bytes:
    """Damage a file's content once to three times.

    Args:
        content: the whole file.
        other: content of another valid file, for splices.
        random: decides everything.
    """
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(_KINDS)(content, other, random)
    return content


def _truncate(content: bytes, other: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _flip(content: bytes, other: bytes, random: Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _header(content: bytes, other: bytes, random: Random) -> bytes:
    """Change bytes where headers are: at the beginning, or at the end (zip, Parquet)."""
    if not content:
        return content
    changed = bytearray(content)
    span = min(_HEADER, len(changed))
    start = random.choice((0, len(changed) - span))
    for _ in range(random.choice((1, 2, 4))):
        changed[start + random.randrange(span)] = random.choice((0, 1, 127, 128, 255, 32, 57))
    return bytes(changed)


def _number(content: bytes, other: bytes, random: Random) -> bytes:
    """Replace one written number."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return _insert(content, other, random)
    place = random.choice(found)
    return content[: place.start()] + random.choice(_NUMBERS) + content[place.end() :]


def _insert(content: bytes, other: bytes, random: Random) -> bytes:
    place = random.randrange(len(content) + 1)
    piece = random.choice((random.choice(_TOKENS), random.randbytes(random.randrange(1, 40))))
    return content[:place] + piece + content[place:]


def _delete(content: bytes, other: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + content[start + random.choice((1, 1, 8, 100)) :]


def _repeat(content: bytes, other: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    piece = content[start : start + random.choice((1, 16, 300))]
    return content[:start] + piece * random.choice((2, 3, 50)) + content[start:]


def _splice(content: bytes, other: bytes, random: Random) -> bytes:
    """The beginning of this file and the end of another."""
    return content[: random.randrange(len(content) + 1)] + other[random.randrange(len(other) + 1) :]


def _lines(content: bytes, other: bytes, random: Random) -> bytes:
    """Drop, repeat or exchange whole lines."""
    lines = content.split(b"\n")
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(3)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines.insert(two, lines[one])
    else:
        lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


def _hostile(content: bytes, other: bytes, random: Random) -> bytes:
    """Content that aims at a reader: deep nesting, references that multiply, false lengths."""
    return random.choice(_HOSTILE)


def _billion_laughs() -> bytes:
    lines = [b"a0: &a0 [x, x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)]
    return b"\n".join(lines) + b"\n"


def _npy(shape: str, descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64


_HOSTILE = (
    b"",
    b"\0" * 1000,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"(" * 5000 + b")" * 5000,
    b"- " * 20_000,
    b"{{" * 2000,
    b"9" * 100_000,
    b'{"sha256": {"../../../etc/passwd": "0", "/etc/passwd": "0"}, "splits": 3, "modalities": []}',
    b'{"default_protocol": ["files"], "planted": {}}',
    b"a: !!python/object/apply:os.system ['touch HARM']\n",
    _billion_laughs(),
    _npy("(1000000000000000, 64)"),
    _npy("(-1, 64)"),
    _npy("(0, 64)"),
    _npy("(" + "(" * 4000 + ")" * 4000 + ",)"),
    _npy("(16,)", "'|O'"),
    _npy("(16,)", "[('a', '<f4')]"),
    _npy("(9" + "9" * 30 + ", 2)"),
    _npy("(True, 16)"),
    b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"{" * 64,
    b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"{}",
    b"PAR1" + b"\xff" * 64 + b"PAR1",
    b"\x80\x04cposix\nsystem\n(S'touch HARM'\ntR.",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0" * 100,
    b"user_id:token\titem_id:token\n" + b"a\tb\n" * 3,
    b"user_id:token\titem_id:token\trating:float\n" + b"\t\t\n" * 3,
    b'"' * 3001,
)

_KINDS: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    *(_truncate, _truncate, _flip, _flip, _flip, _header, _header, _number, _number, _number),
    *(_insert, _insert, _delete, _repeat, _splice, _lines, _hostile),
)
