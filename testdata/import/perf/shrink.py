#!/usr/bin/env python3
"""Makes small test inputs of recordings that perf made with a filter for addresses.

A filter leaves snapshots incomplete; so the number of regions that each event tells is set to how many came. Whatever
tells of other processes is left out, and of the given names what stands behind their first "-". A compressed recording is
compressed anew, in two records, cut at an arbitrary place (needs the package zstandard).

usage: shrink.py IN OUT [NAME]…
"""
import struct
import sys

import zstandard

SAMPLE, TRACING, COMPRESSED = 9, 66, 81


def records(data, at, end):
    """(offset, type, size) of each record."""
    while at < end:
        kind, _, size = struct.unpack_from("<IHH", data, at)
        yield at, kind, size
        at += size
        if kind == TRACING:
            at += struct.unpack_from("<I", data, at - size + 8)[0]


def patch(data, at, end):
    """Sets nr_regions of all samples of damon_aggregated."""
    bursts, last = [], 0
    for offset, kind, size in records(data, at, end):
        # header, id, ip, tid, time, cpu, period, size of what the tracepoint wrote: 52 bytes
        if kind == SAMPLE and size == 8 + 48 + 4 + 52 and struct.unpack_from("<I", data, offset + 56)[0] == 52:
            if struct.unpack_from("<Q", data, offset + 60 + 24)[0] < 1 << 40 and is_region(data, offset + 60):
                time = struct.unpack_from("<Q", data, offset + 32)[0]
                if time - last > 1_000_000_000:
                    bursts.append([])
                last = time
                bursts[-1].append(offset + 60 + 16)
    for burst in bursts:
        for place in burst:
            struct.pack_into("<I", data, place, len(burst))
    print([len(burst) for burst in bursts])


def is_region(data, raw):
    return struct.unpack_from("<H", data, raw)[0] == AGGREGATED


def without_others(data, at, end):
    """The records that do not tell of other processes and of the kernel's symbols."""
    out = bytearray()
    for offset, kind, size in records(data, at, end):
        if kind >= 64 or kind in (SAMPLE, 2, 13):
            more = struct.unpack_from("<I", data, offset + 8)[0] if kind == TRACING else 0
            out += data[offset:offset + size + more]
    patch(out, 0, len(out))
    return out


def main():
    global AGGREGATED
    data = bytearray(open(sys.argv[1], "rb").read())
    at = data.find(b"name: damon_aggregated\nID: ")
    AGGREGATED = int(data[at:at + 40].split(b"ID: ")[1].split(b"\n")[0])
    if struct.unpack_from("<Q", data, 8)[0] == 16:
        data = data[:16] + without_others(data, 16, len(data))
    else:
        offset, size = struct.unpack_from("<QQ", data, 40)
        all_records = list(records(data, offset, offset + size))
        pieces = [bytes(data[o + 8:o + s]) for o, k, s in all_records if k == COMPRESSED]
        if pieces:
            plain = zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(pieces))
            plain = without_others(bytearray(plain), 0, len(plain))
            # As perf does it: one stream, flushed at the end of each record.
            stream, cut = zstandard.ZstdCompressor(level=1).compressobj(), len(plain) // 3
            new = b""
            for part in (plain[:cut], plain[cut:]):
                packed = stream.compress(bytes(part)) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                new += struct.pack("<IHH", COMPRESSED, 0, 8 + len(packed)) + packed
            body = new + b"".join(bytes(data[o:o + s]) for o, k, s in all_records if k >= 64 and k != COMPRESSED)
        else:
            body = without_others(data, offset, offset + size)
        tail = bytearray(data[offset + size:])
        shift = len(body) - size
        features = sum(bin(word).count("1") for word in struct.unpack_from("<4Q", data, 72))
        for i in range(features):
            place = struct.unpack_from("<Q", tail, 16 * i)[0]
            struct.pack_into("<Q", tail, 16 * i, place + shift)
        struct.pack_into("<Q", data, 48, len(body))
        data = data[:offset] + body + tail
    for name in sys.argv[3:]:
        name = name.encode()
        data = data.replace(name, name.split(b"-")[0].ljust(len(name), b"\0"))
    open(sys.argv[2], "wb").write(data)


main()
