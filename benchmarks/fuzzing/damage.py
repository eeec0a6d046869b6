"""Hypothesis strategies of damaged files: a slice replaced by another piece, or hostile content."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

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
# Upper bound of the length of a binary file's header; a zip has its directory at the end.
_HEADER = 256


@st.composite
def damaged(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """A file's content, damaged once to three times, with pieces of others; or hostile content."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(_HOSTILE))
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        content = draw(st.sampled_from((_replaced, _replaced, _number, _changed)))(
            draw, content, others
        )
    return content


def _replaced(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Replace a slice by nothing, a token, other bytes, its repetition or a piece of a file."""
    start = draw(st.integers(0, len(content)))
    end = start + draw(st.sampled_from((0, 0, 1, 8, 100, 300, len(content))))
    inside = content[start:end]
    other = draw(st.sampled_from(others))
    pieces: SearchStrategy[bytes] = st.one_of(
        st.just(b""),
        st.sampled_from(_TOKENS),
        st.binary(min_size=1, max_size=40),
        st.sampled_from((2 * inside, 50 * inside[:300])),
        st.integers(0, len(other)).map(lambda first: other[first:]),
        st.sampled_from(other.split(b"\n")).map(lambda line: line + b"\n"),
    )
    return content[:start] + draw(pieces) + content[end:]


def _number(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Replace a number that is written in digits."""
    found = list(re.finditer(rb"\d+", content))
    if not found:
        return _replaced(draw, content, others)
    match = draw(st.sampled_from(found))
    return content[: match.start()] + draw(st.sampled_from(_NUMBERS)) + content[match.end() :]


def _changed(draw: DrawFn, content: bytes, others: Sequence[bytes]) -> bytes:
    """Replace single bytes anywhere, or at the beginning or end, where headers are."""
    changed = bytearray(content)
    start = draw(st.sampled_from((0, 0, max(0, len(content) - _HEADER))))
    length = draw(st.sampled_from((_HEADER, len(content))))
    for _ in range(draw(st.sampled_from((1, 1, 2, 8)))):
        index = start + draw(st.integers(0, length))
        if index < len(changed):
            changed[index] = draw(st.integers(0, 255))
    return bytes(changed)


def _npy(shape: str, descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64


# Deep nesting, references that multiply, false lengths, code.
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
