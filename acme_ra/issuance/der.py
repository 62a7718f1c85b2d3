"""DER, as far as it is read or written without a library: elements by their bytes (X.690 §8.1, §10.1)."""


def elements(der: bytes) -> list[bytes]:
    """The elements of a constructed value, undecoded. `der` was parsed by a library before, so lengths are right."""
    found = []
    at, end = _content(der, 0)
    while at < end:
        after = _content(der, at)[1]
        found.append(der[at:after])
        at = after
    return found


def element(tag: int, content: bytes) -> bytes:
    """One element with a tag of a single octet."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts and ends."""
    length, start = der[at + 1], at + 2
    if length < 0x80:
        return start, start + length
    start += length & 0x7F
    return start, start + int.from_bytes(der[at + 2 : start], "big")
