"""Hypothesis strategies of damaged files: cut, changed, spliced, and content made to do harm."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

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


@st.composite
def damaged(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """A file's content, damaged once to three times.

    Args:
        draw: given by Hypothesis.
        content: the whole file.
        others: contents of other valid files, for splices.
    """
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        content = draw(st.sampled_from(_KINDS))(draw, content, others)
    return content


def _place(draw: DrawFn, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _cut(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: _place(draw, content)]


def _change(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Other bytes anywhere, or where headers are: at the beginning or at the end."""
    changed = bytearray(content)
    start = draw(st.sampled_from((0, 0, len(content) - _HEADER)))
    span = draw(st.sampled_from((_HEADER, len(content))))
    for _ in range(draw(st.sampled_from((1, 1, 2, 8)))):
        place = max(0, start) + draw(st.integers(0, span))
        if place < len(changed):
            changed[place] = draw(st.integers(0, 255))
    return bytes(changed)


def _number(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Replace one written number."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return _insert(draw, content, others)
    place = draw(st.sampled_from(found))
    return content[: place.start()] + draw(st.sampled_from(_NUMBERS)) + content[place.end() :]


def _insert(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    place = _place(draw, content)
    piece = draw(st.sampled_from(_TOKENS) | st.binary(min_size=1, max_size=40))
    return content[:place] + piece + content[place:]


def _repeat(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Leave out a piece, or write it several times."""
    start = _place(draw, content)
    end = start + draw(st.sampled_from((1, 8, 100, 300)))
    return content[:start] + content[start:end] * draw(st.sampled_from((0, 2, 50))) + content[end:]


def _splice(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of this file and the end of another."""
    other = draw(st.sampled_from(others))
    return content[: _place(draw, content)] + other[_place(draw, other) :]


def _lines(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Put a line in the place of another, or exchange both."""
    lines = content.split(b"\n")
    one, two = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    lines[one], lines[two] = lines[two], draw(st.sampled_from((lines[one], lines[two])))
    return b"\n".join(lines)


def _hostile(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Content that aims at a reader: deep nesting, references that multiply, false lengths."""
    return draw(st.sampled_from(_HOSTILE))


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
    b"a0: &a0 [x, x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b"*a%d, " % (n - 1) * 9) for n in range(1, 12)),
    *(_npy(shape) for shape in ("(1000000000000000, 64)", "(-1, 64)", "(0, 64)", "(True, 16)")),
    _npy("(" + "(" * 4000 + ")" * 4000 + ",)"),
    _npy("(9" + "9" * 30 + ", 2)"),
    _npy("(16,)", "'|O'"),
    _npy("(16,)", "[('a', '<f4')]"),
    b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"{" * 64,
    b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"{}",
    b"PAR1" + b"\xff" * 64 + b"PAR1",
    b"\x80\x04cposix\nsystem\n(S'touch HARM'\ntR.",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\0" * 100,
    b"user_id:token\titem_id:token\n" + b"a\tb\n" * 3,
    b"user_id:token\titem_id:token\trating:float\n" + b"\t\t\n" * 3,
    b'"' * 3001,
)
_KINDS = (_cut, _change, _change, _number, _number, _insert, _repeat, _splice, _lines, _hostile)
