"""What a body was before its Content-Encoding, bounded while it is unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from runnel.domain.errors import InvalidParameterValue, RequestTooLarge

# Compressed files may follow one another in one body; each costs a copy of all that is behind it.
MAX_MEMBERS = 100
# So little of zstd unpacks to 32 MiB at most (a block of four bytes to 128 KiB).
_ZSTD_STEP = 1024
_ZSTD_MAX_WINDOW = 2**27


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding: gzip, deflate (with or without zlib's header), zstd, or none.

    Raises RequestTooLarge as soon as more than ``limit`` bytes come out, however small the body was.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            return _members(body, limit, "gzip", lambda data, left: _inflate(data, left, zlib.MAX_WBITS | 16))
        case "deflate":
            try:
                return _members(body, limit, "deflate", lambda data, left: _inflate(data, left, zlib.MAX_WBITS))
            except InvalidParameterValue:
                return _members(body, limit, "deflate", lambda data, left: _inflate(data, left, -zlib.MAX_WBITS))
        case "zstd":
            return _members(body, limit, "zstd", _unzstd)
        case other:
            raise InvalidParameterValue(f"Unsupported Content-Encoding '{other[:50]}'; gzip, deflate and zstd are read")


# From the rest of a body and how many bytes may come out: what came out, the rest behind it, and whether it was whole.
_Unpack = Callable[[bytes, int], tuple[bytes, bytes, bool]]


def _members(body: bytes, limit: int, name: str, unpack: _Unpack) -> bytes:
    out: list[bytes] = []
    size = 0
    while body:
        if len(out) == MAX_MEMBERS:
            raise InvalidParameterValue(f"The {name} body has more than {MAX_MEMBERS} members")
        try:
            content, body, is_whole = unpack(body, limit - size)
        except Exception as error:  # zlib.error and zstandard.ZstdError have no better class in common
            raise InvalidParameterValue(f"The body is not valid {name}: {error}") from None
        out.append(content)
        size += len(content)
        if size > limit:
            raise RequestTooLarge(
                f"The decompressed body is larger than the {limit} bytes allowed (--max-request-bytes)"
            )
        if not is_whole:
            raise InvalidParameterValue(f"The {name} body ends early")
    return b"".join(out)


def _inflate(data: bytes, left: int, window_bits: int) -> tuple[bytes, bytes, bool]:
    inflater = zlib.decompressobj(window_bits)
    content = inflater.decompress(data, left + 1)
    return content, inflater.unused_data, inflater.eof


def _unzstd(data: bytes, left: int) -> tuple[bytes, bytes, bool]:
    import zstandard

    unpacker: Any = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW).decompressobj()
    content = bytearray()
    position = 0
    while position < len(data) and not unpacker.eof and len(content) <= left:
        content += unpacker.decompress(data[position : position + _ZSTD_STEP])
        position += _ZSTD_STEP
    return bytes(content), unpacker.unused_data + data[position:], unpacker.eof
