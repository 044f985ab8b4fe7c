#!/usr/bin/env python3
"""Decodes a DAMON trace by docs/FORMAT.md alone, and prints its content as JSON.

A second implementation, in another language and without the Rust crate: what it cannot read, the document does
not say. It expects a whole trace and stops at the first thing that is wrong. Needs the `zstd` command.

    scripts/format-check.py TRACE                 print the content
    scripts/format-check.py TRACE EXPECTED.json   compare with the content of a golden file
"""
import json
import struct
import subprocess
import sys
import zlib


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        part = self.data[self.at:self.at + count]
        assert len(part) == count, "cut off"
        self.at += count
        return part

    def more(self):
        return self.at < len(self.data)

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    # The integers and values of records.
    def number(self):
        first = self.take(1)[0]
        if first <= 250:
            return first
        return int.from_bytes(self.take({251: 2, 252: 4, 253: 8}[first]), "little")

    def signed(self):
        return unzigzag(self.number())

    def byte(self):
        return self.take(1)[0]

    def flag(self):
        return {0: False, 1: True}[self.byte()]

    def text(self):
        return self.take(self.number()).decode()

    def list(self, item):
        return [item(self) for _ in range(self.number())]

    def option(self, item):
        return item(self) if self.flag() else None


def unzigzag(value):
    return value >> 1 if value & 1 == 0 else -(value >> 1) - 1


def name(**names):
    table = {int(key[1:]): value for key, value in names.items()}
    return lambda bytes: table[bytes.byte()]


def appended(item):
    """A field of a later minor version: older records end before it."""
    def read(bytes):
        return bytes.option(item) if bytes.more() else None
    read.is_appended = True
    return read


def struct_of(fields):
    def read_all(bytes):
        values = {key: read(bytes) for key, read in fields.items()}
        absent = [key for key, read in fields.items() if hasattr(read, "is_appended") and values[key] is None]
        return {key: value for key, value in values.items() if key not in absent}
    return read_all


def permissions(bytes):
    bits = bytes.byte()
    return {key: bits >> bit & 1 == 1 for bit, key in enumerate(("read", "write", "execute", "shared"))}


n, t = Bytes.number, Bytes.text
ATTRS = struct_of({"sample_us": n, "aggr_us": n, "update_us": n, "min_nr_regions": n, "max_nr_regions": n})
BACKEND = struct_of({"name": t, "access": name(_1="read+write", _2="write"),
                     "granularity": name(_1="page", _2="region", _3="mapping"), "exact": Bytes.flag, "reason": t})
INFO = struct_of({"tool": t, "tool_version": t, "host": t, "kernel": t, "arch": t, "page_size": n,
                  "clock": struct_of({"monotonic_ns": n, "realtime_ns": n}),
                  "command_line": lambda b: b.list(t), "backend": BACKEND, "attrs": ATTRS})
MAPPING = struct_of({"start": n, "end": n, "permissions": permissions, "offset": n, "inode": n, "name": t})
REGION = struct_of({"start": n, "end": n, "nr_accesses": n, "age": n})
RECORDS = {
    1: ("target-started", {"target": n, "time_ns": n, "kind": name(_1="process", _2="physical"), "pid": n,
                           "start_ticks": n, "parent": lambda b: b.option(n), "comm": t, "exe": t}),
    2: ("target-executed", {"target": n, "time_ns": n, "comm": t, "exe": t}),
    3: ("target-exited", {"target": n, "time_ns": n, "wait_status": lambda b: b.option(Bytes.signed)}),
    4: ("intervals-changed", {"time_ns": n, "attrs": ATTRS, "reason": t}),
    5: ("mappings-changed", {"target": n, "time_ns": n, "removed": lambda b: b.list(n),
                             "added": lambda b: b.list(MAPPING)}),
    6: ("memory", {"target": n, "time_ns": n, "rss": n, "swap": n, "virtual_size": n, "minor_faults": n,
                   "major_faults": n}),
    7: ("pressure", {"time_ns": n, "some_us": n, "full_us": n}),
    8: ("lost", {"target": lambda b: b.option(n), "time_ns": n, "count": n, "what": t}),
    9: ("scheme-stats", {"time_ns": n, "scheme": n, "nr_tried": n, "sz_tried": n, "nr_applied": n,
                         "sz_applied": n, "qt_exceeds": n, "sz_ops_filter_passed": appended(n),
                         "nr_snapshots": appended(n)}),
    10: ("mark", {"time_ns": n, "text": t}),
    11: ("note", {"time_ns": n, "text": t}),
    12: ("finished", {"time_ns": n, "reason": t, "recorder_cpu_us": n}),
    13: ("system-memory", {"time_ns": n, "total": n, "free": n, "available": n, "swap_total": n, "swap_free": n}),
    14: ("kdamond-cpu", {"time_ns": n, "thread": n, "cpu_us": n}),
    15: ("scheme-installed", {"time_ns": n, "scheme": n, "json": t, "by": t}),
    16: ("scheme-applied", {"time_ns": n, "scheme": n, "target": n, "regions": lambda b: b.list(REGION)}),
    17: ("part", {"time_ns": n, "recording": n, "number": n, "first_snapshot": n, "repeated": n}),
    18: ("effective-quota", {"time_ns": n, "scheme": n, "bytes": n}),
    19: ("probe-columns", {"time_ns": n, "target": n,
                           "columns": lambda b: b.list(struct_of({"name": t, "unit": n}))}),
    20: ("proportional-memory", {"target": n, "time_ns": n, "pss": n, "swap_pss": n}),
}

# For how long records matter: from their time on, or until the next one of the same kind and these fields.
LASTING = {"target-started", "target-executed", "target-exited", "intervals-changed", "mappings-changed", "note",
           "scheme-installed", "part", "probe-columns"}
SERIES = {"memory": "target", "proportional-memory": "target", "pressure": None, "system-memory": None,
          "scheme-stats": "scheme", "effective-quota": "scheme", "kdamond-cpu": "thread"}
MOST_SERIES = 16384


class Bits:
    def __init__(self, data):
        self.value, self.left = int.from_bytes(data, "little"), len(data) * 8

    def take(self, count):
        assert count <= self.left, "bits are cut off"
        part = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        return part

    def bit(self):
        return self.take(1)

    def number(self, order):
        zeros = 0
        while self.bit() == 0:
            zeros += 1
        count = zeros + order
        return (1 << count | self.take(count)) - (1 << order)

    def ones(self, limit):
        ones = 0
        while ones < limit and self.bit():
            ones += 1
        return ones

    def skip(self):
        ones = self.ones(2)
        return 1 - ones if ones < 2 else self.number(0) + 2

    def tenths(self):
        low = self.take(3)
        return low + 1 if low < 7 else 8 + self.bit()


def cut(size, tenths, shift):
    product = size * tenths
    part = product // 10 if product < 1 << 64 else size // 10 * tenths
    return part >> shift << shift


def shared(region, start, end):
    return max(0, min(region["end"], end) - max(region["start"], start))


def predicted_counter(overlap, start, end):
    best = (0, 0)
    for old in overlap:
        if shared(old, start, end) > best[0]:
            best = (shared(old, start, end), old["nr_accesses"])
    return best[1]


def predicted_age(overlap, start, end, counter, threshold):
    weighted = size = 0
    for old in overlap:
        was = old["nr_accesses"]
        stable = abs(was - counter) <= threshold and (was == 0) == (counter == 0)
        weighted += shared(old, start, end) * (min(old["age"] + 1, 0xffffffff) if stable else 0)
        size += shared(old, start, end)
    return weighted // size if size else 0


class Target:
    def __init__(self, base):
        self.previous, self.end, self.duration, self.count, self.scale = [], base, 0, 0, None

    def section(self, number, flags, body):
        if flags & 4:
            self.scale = [body.varint() for _ in range(5)]
        sample, aggr, most, shift, probes = self.scale
        unit = 1000 if flags & 2 else 1
        how_many = body.varint()
        bits = Bits(body.data[body.at:])
        heads = []
        for _ in range(how_many):
            start = self.end // unit
            if not flags & 8:
                start = (start + unzigzag(bits.number(6))) % (1 << 64)
            duration = (self.duration // unit + unzigzag(bits.number(6))) % (1 << 64)
            self.duration = duration * unit
            self.end = start * unit + self.duration
            self.count = (self.count + unzigzag(bits.number(2))) % (1 << 64)
            heads.append((start * unit, self.end, self.count))
        for start, end, count in heads:
            regions = self.regions(count, shift, flags & 1, bits)
            columns = [[bits.number(2) for _ in range(count)] for _ in range(probes)]
            yield {"target": number, "start_ns": start, "end_ns": end,
                   "sampling": {"sample_us": sample, "aggr_us": aggr, "max_nr_accesses": most},
                   "has_ages": bool(flags & 1), "regions": regions, "probes": columns}
            self.previous = regions
        assert bits.left < 8 and bits.value == 0, "bits are left over"

    def regions(self, count, shift, has_ages, bits):
        regions, position = [], 0
        threshold = max((region["nr_accesses"] for region in self.previous), default=0) // 10
        for _ in range(count):
            rest = [old for old in self.previous if old["end"] > position]
            start = max(rest[0]["start"], position) if rest else position
            change = bits.ones(4)
            differs_counter, differs_age = change == 1, change == 3
            if change == 2:
                differs_counter = bits.bit()
                parent = rest[bits.bit()]
                end = parent["start"] + cut(parent["end"] - parent["start"], bits.tenths(), shift)
            elif change == 4:
                differs_counter, differs_age = bits.bit(), bits.bit()
                start, end = self.boundary(bits, rest, start, position, shift)
            else:
                end = rest[0]["end"]
            assert end > start
            overlap = [old for old in rest if shared(old, start, end) > 0]
            counter = predicted_counter(overlap, start, end)
            if differs_counter:
                counter += unzigzag(bits.number(1) + 1)
            age = predicted_age(overlap, start, end, counter, threshold)
            if differs_age:
                age += unzigzag(bits.number(2) + 1)
            regions.append({"start": start, "end": end, "nr_accesses": counter, "age": age if has_ages else 0})
            position = end
        return regions

    @staticmethod
    def boundary(bits, rest, start, position, shift):
        how = bits.ones(4)
        if how < 3:
            parent = rest[bits.skip()]
            size = parent["end"] - parent["start"]
            if how == 0:
                return start, parent["end"]
            if how == 1:
                return start, parent["start"] + cut(size, bits.tenths(), shift)
            outer, inner = bits.take(4), bits.take(4)
            return start, parent["start"] + cut(cut(size, outer, shift), inner, shift)
        if how == 3:
            return start, start + (bits.number(8) << shift)
        start = position + bits.number(12)
        return start, start + bits.number(12)


def sections(raw, base):
    targets, bytes = {}, Bytes(raw)
    while bytes.more():
        head = bytes.varint()
        body = Bytes(bytes.take(head >> 1))
        first = body.varint()
        if head & 1:
            target = targets.setdefault(first >> 4, Target(base))
            for snapshot in target.section(first >> 4, first & 15, body):
                yield "snapshot", snapshot
        elif first == 1:
            kind = body.varint()
            if kind in RECORDS:
                word, fields = RECORDS[kind]
                yield "record", {word: struct_of(fields)(body)}
        else:
            assert first >= 64, f"unknown section kind {first}"


def blocks(data):
    """Kind, base time and the payloads of each block; checks every checksum."""
    assert data[:8] == b"\x89DMN\r\n\x1a\n" and zlib.crc32(data[:28]) == struct.unpack_from("<I", data, 28)[0]
    assert struct.unpack_from("<H", data, 8)[0] == 1, "another major version"
    at, found, expected = 32, [], 0
    while data[at] != 0xb2:
        if data[at] == 0xb1:
            kind, flags, _, sequence, base, crc = struct.unpack_from("<4xBBHIQI", data, at)
            assert data[at:at + 4] == b"\xb1BLK" and zlib.crc32(data[at:at + 20]) == crc and sequence == expected
            found.append((kind, flags, base, [], at))
            expected += 1
            at += 24
            continue
        long = data[at] == 0xa0
        head = data[at:at + (4 if long else 2)]
        length = int.from_bytes(head[1:], "little") if long else int.from_bytes(head, "big") & 0x3fff
        begin = at + len(head) + 4
        payload = data[begin:begin + length]
        place = struct.pack("<II", expected - 1, len(found[-1][3]))
        assert zlib.crc32(place + head + payload) == struct.unpack_from("<I", data, begin - 4)[0], f"frame at {at}"
        found[-1][3].append(payload)
        at = begin + length
    magic, index, entries, crc = struct.unpack_from("<8sQII", data, at)
    assert magic == b"\xb2DMNEND\n" and zlib.crc32(data[at:at + 20]) == crc and at + 24 == len(data)
    assert found[-1][0] == 3 and found[-1][4] == index and len(b"".join(found[-1][3])) == 56 * entries
    return found


def decompressed(payloads):
    # The stream has no end mark, so zstd complains behind the last byte; the length of the output is checked by the
    # sections.
    return subprocess.run(["zstd", "-dcq"], input=b"".join(payloads), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=False).stdout


def left_by(records):
    """How many records of a block matter from then on, and of which series there are some."""
    lasting, series = 0, set()
    for record in records:
        [(word, fields)] = record.items()
        lasting += word in LASTING
        if word in SERIES:
            series.add((word, fields.get(SERIES[word])))
    return lasting, series


def check_lasting(minor, index, left):
    """Compares what the index says of lasting records with what the blocks hold."""
    told = [entry[0] for entry in struct.iter_unpack("<52xI", index)]
    assert len(told) == len(left)
    if minor != 1:
        return
    for number, (lasting, series) in zip(told, left):
        following = left[1][1] if len(left) > 1 else set()
        left = left[1:]
        if len(following) > MOST_SERIES:
            following = set()
        known = len(series) <= MOST_SERIES
        assert number == 0 or known and number == lasting + len(series - following) + 1, "lasting records"


def content(data):
    found, left = blocks(data), []
    result = {"info": INFO(Bytes(found[0][3][0])), "snapshots": [], "records": []}
    for kind, flags, base, payloads, _ in found:
        if kind == 2:
            before = len(result["records"])
            for what, value in sections(decompressed(payloads), base):
                result[what + "s"].append(value)
            left.append(left_by(result["records"][before:]))
        else:
            assert kind in (1, 3) or flags & 1, f"unknown block kind {kind}"
    check_lasting(struct.unpack_from("<H", data, 10)[0], b"".join(found[-1][3]), left)
    return result


def main():
    with open(sys.argv[1], "rb") as file:
        found = content(file.read())
    if len(sys.argv) == 2:
        json.dump(found, sys.stdout, indent=2)
        return 0
    with open(sys.argv[2], encoding="utf-8") as file:
        expected = json.load(file)
    found["snapshots"].sort(key=lambda snapshot: snapshot["target"])
    for key in ("info", "snapshots", "records"):
        if found[key] != expected[key]:
            print(f"{key} differ", file=sys.stderr)
            return 1
    print(f"{len(found['snapshots'])} snapshots and {len(found['records'])} records are as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
