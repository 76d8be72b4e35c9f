"""Known ids: the twin of ``ids``. Included by ``typed.pyx``."""

cdef uint64_t P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9
cdef uint64_t P4 = 0x85EBCA77C2B2AE63, P5 = 0x27D4EB2F165667C5


cdef inline uint64_t turned(uint64_t x, int by) noexcept nogil:
    return (x << by) | (x >> (64 - by))


cdef inline uint64_t mixed(uint64_t sum_, uint64_t lane) noexcept nogil:
    return turned(sum_ + lane * P2, 31) * P1


cdef inline uint64_t eight(const char* at) noexcept nogil:
    cdef uint64_t found
    memcpy(&found, at, 8)
    return found


cdef uint64_t xxh64(const char* at, Py_ssize_t size, uint64_t seed) noexcept nogil:
    """XXH64 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), on little-endian machines."""
    cdef const char* end = at + size
    cdef uint64_t a, b, c, d, h
    cdef uint32_t four
    if size >= 32:
        a, b, c, d = seed + P1 + P2, seed + P2, seed, seed - P1
        while at + 32 <= end:
            a, b = mixed(a, eight(at)), mixed(b, eight(at + 8))
            c, d = mixed(c, eight(at + 16)), mixed(d, eight(at + 24))
            at += 32
        h = turned(a, 1) + turned(b, 7) + turned(c, 12) + turned(d, 18)
        h = (h ^ mixed(0, a)) * P1 + P4
        h = (h ^ mixed(0, b)) * P1 + P4
        h = (h ^ mixed(0, c)) * P1 + P4
        h = (h ^ mixed(0, d)) * P1 + P4
    else:
        h = seed + P5
    h += <uint64_t> size
    while at + 8 <= end:
        h = turned(h ^ mixed(0, eight(at)), 27) * P1 + P4
        at += 8
    if at + 4 <= end:
        memcpy(&four, at, 4)
        h = turned(h ^ (four * P1), 23) * P2 + P3
        at += 4
    while at < end:
        h = turned(h ^ (<unsigned char> at[0] * P5), 11) * P1
        at += 1
    h = (h ^ (h >> 33)) * P2
    h = (h ^ (h >> 29)) * P3
    return h ^ (h >> 32)


cdef int LOOK_BACK = plain_ids.LOOK_BACK


cdef struct Id:
    uint64_t low, high
    int64_t received


cdef Id named(str source, str name):
    """The hash of a source and an id in it."""
    cdef Py_ssize_t first, second
    cdef const char* a = PyUnicode_AsUTF8AndSize(source, &first)
    cdef const char* b = PyUnicode_AsUTF8AndSize(name, &second)
    cdef char[256] near
    cdef char* joined = near
    cdef Id one
    if first + second + 1 > 256:
        joined = <char*> PyMem_Malloc(first + second + 1)
        if joined == NULL:
            raise MemoryError
    memcpy(joined, a, first)
    joined[first] = 0
    memcpy(joined + first + 1, b, second)
    one.low = xxh64(joined, first + second + 1, 0)
    one.high = xxh64(joined, first + second + 1, 1)
    if joined != near:
        PyMem_Free(joined)
    return one


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Ids:
    """See ``ids.Ids``: hashes with their times in order of arrival, and where there are more than a
    few, a table of their places (from 1) by hash."""

    cdef Id* known
    cdef uint32_t* places
    cdef int size, capacity
    cdef uint32_t mask

    def __dealloc__(self):
        PyMem_Free(self.known)
        PyMem_Free(self.places)

    def __len__(self):
        return self.size

    def add(self, str source, str name, int64_t received):
        """Know an id from now on: 0; -1 if it is known; how many had to be forgotten for it."""
        return know(self, source, name, received)

    def oldest(self):
        """When the oldest id came; none where there is none."""
        return self.known[0].received if self.size else None

    def left(self, int64_t horizon):
        """Forget the ids from before ``horizon``; how many are left."""
        cdef int count = older(self, horizon)
        if count:
            forget(self, count)
        return self.size

    def content(self):
        """What is known: hashes, and times in order."""
        cdef int place
        cdef char* at
        if not self.size:
            return None
        hashes = bytearray(self.size * 16)
        times = clone(INTS, self.size, False)
        at = hashes
        for place in range(self.size):
            memcpy(at + place * 16, &self.known[place], 16)
            times.data.as_longlongs[place] = self.known[place].received
        return [bytes(hashes), times]

    @staticmethod
    def restored(content):
        """The ids that gave ``content``."""
        cdef Ids made = Ids.__new__(Ids)
        cdef int place
        cdef const char* at
        if content is None:
            return made
        cdef bytes hashes = content[0]
        cdef array times = content[1]
        if len(hashes) != 16 * len(times):
            raise ValueError("ids that do not fit their times")
        at = hashes
        reserve(made, len(times))
        made.size = made.capacity
        for place in range(made.size):
            memcpy(&made.known[place], at + place * 16, 16)
            made.known[place].received = times.data.as_longlongs[place]
        if made.size > 8:
            index(made)
        return made

    def __eq__(self, other):
        return isinstance(other, Ids) and self.content() == other.content()


cdef int know(Ids ids, str source, str name, int64_t received) except -2:
    """See ``Ids.add``."""
    cdef Id one = named(source, name)
    cdef int at = found_at(ids, &one), gone = 0
    cdef int64_t horizon = received - REPEATED_WITHIN
    if at >= 0:
        if ids.known[at].received >= horizon:
            return -1
        forget(ids, older(ids, horizon))
    if ids.size & (LOOK_BACK - 1) == 0 and ids.size and ids.known[0].received < horizon:
        forget(ids, older(ids, horizon))
    if ids.size >= 1024 and ids.size >= <int> plain_ids.IDS:
        gone = max(<int> plain_ids.IDS // 100, 1)
        forget(ids, gone)
    one.received = received
    if ids.size == ids.capacity:
        reserve(ids, more(ids.size))
    ids.known[ids.size] = one
    ids.size += 1
    if ids.places != NULL and <uint32_t> ids.size * 4 <= (ids.mask + 1) * 3:
        put(ids, ids.size)
    elif ids.size > 8:
        index(ids)
    return gone


cdef int reserve(Ids ids, int capacity) except -1:
    block = PyMem_Realloc(ids.known, <size_t> capacity * sizeof(Id))
    if block == NULL:
        raise MemoryError
    ids.known = <Id*> block
    ids.capacity = capacity
    return 0


cdef inline void put(Ids ids, int place) noexcept:
    cdef uint32_t at = <uint32_t> ids.known[place - 1].low & ids.mask
    while ids.places[at]:
        at = (at + 1) & ids.mask
    ids.places[at] = place


cdef int index(Ids ids) except -1:
    """Make the table anew, for the ids there are and as many again."""
    cdef uint32_t size = 16
    cdef int place
    while size * 3 < <uint32_t> ids.size * 5:
        size *= 2
    block = PyMem_Realloc(ids.places, <size_t> size * sizeof(uint32_t))
    if block == NULL:
        raise MemoryError
    ids.places = <uint32_t*> block
    ids.mask = size - 1
    memset(ids.places, 0, <size_t> size * sizeof(uint32_t))
    for place in range(1, ids.size + 1):
        put(ids, place)
    return 0


cdef int found_at(Ids ids, Id* one) noexcept:
    """The place of a hash, -1 where it is unknown."""
    cdef int place
    cdef uint32_t at
    if ids.places == NULL:
        for place in range(ids.size):
            if ids.known[place].low == one.low and ids.known[place].high == one.high:
                return place
        return -1
    at = <uint32_t> one.low & ids.mask
    while ids.places[at]:
        place = <int> ids.places[at] - 1
        if ids.known[place].low == one.low and ids.known[place].high == one.high:
            return place
        at = (at + 1) & ids.mask
    return -1


cdef int older(Ids ids, int64_t horizon) noexcept:
    """How many ids came before ``horizon``."""
    cdef int low = 0, high = ids.size, middle
    while low < high:
        middle = (low + high) >> 1
        if ids.known[middle].received < horizon:
            low = middle + 1
        else:
            high = middle
    return low


cdef int forget(Ids ids, int count) except -1:
    """Forget the oldest ``count`` ids."""
    ids.size -= count
    memmove(ids.known, ids.known + count, <size_t> ids.size * sizeof(Id))
    if ids.capacity > 2 * ids.size + 8:
        reserve(ids, more(ids.size))
    if ids.size > 8:
        index(ids)
    else:
        PyMem_Free(ids.places)
        ids.places = NULL
    return 0
