# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False
"""The typed twin of ``features`` and ``ids``: the same classes, with their numbers in C memory.

``core`` takes it where it has been compiled. It gives the same answers and writes the same content.
"""

cimport cython
from cpython.array cimport array, clone
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport rint
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from forestall.context import ids as plain_ids
from forestall.context.features import KEYS as _KEYS
from forestall.context.features import KINDS, millionths
from forestall.context.features import REMEMBERED as _REMEMBERED
from forestall.contracts.instants import SECOND as _SECOND

cdef int REMEMBERED = _REMEMBERED
cdef int KEYS = _KEYS
cdef int64_t REPEATED_WITHIN = plain_ids.REPEATED_WITHIN
cdef int ROOM = 32
cdef int64_t LARGE = 1 << 62
cdef int64_t EXACT = 1 << 53
cdef array INTS = array("q"), DOUBLES = array("d")

cdef enum:
    COUNT, SUM, AVG, MIN, MAX, DISTINCT, FIRST, LAST, SINCE, PERCENTILE

cdef enum:
    NOTHING, INT, DOUBLE, OBJECT

_CODES = {"count": COUNT, "sum": SUM, "avg": AVG, "min": MIN, "max": MAX, "distinct": DISTINCT,
          "first": FIRST, "last": LAST, "since": SINCE}


cdef int more(int used) noexcept nogil:
    """The capacity for one more than ``used``."""
    return used + (used >> 3) + 4


cdef void* resized(void* block, int count) except NULL:
    block = PyMem_Realloc(block, <size_t> count * 8)
    if block == NULL:
        raise MemoryError
    return block


cdef array numbers(array like, void* block, int count):
    made = clone(like, count, False)
    memcpy(made.data.as_voidptr, block, <size_t> count * 8)
    return made


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Window:
    """See ``features.Window``. ``code`` says what the values are; sums that do not fit lie, with
    their values, in ``objects``."""

    cdef int64_t* times
    cdef int64_t* values
    cdef int64_t* serials
    cdef list objects
    cdef object large
    cdef int64_t total, touched
    cdef int head, size, capacity, room
    cdef char code
    cdef bint adds

    def __cinit__(self):
        self.room = ROOM

    def __dealloc__(self):
        PyMem_Free(self.times)
        PyMem_Free(self.values)
        PyMem_Free(self.serials)

    def __len__(self):
        return self.size - self.head

    def left(self, int64_t limit):
        """Forget the events at or before ``limit``; how many are left."""
        expire(self, limit)
        return self.size - self.head

    def content(self):
        """What is remembered, as ``restored`` takes it."""
        cdef int head = self.head, count = self.size - head
        values = None
        if self.code == OBJECT:
            values = self.objects[head:]
        elif self.code != NOTHING:
            values = numbers(INTS if self.code == INT else DOUBLES, self.values + head, count)
        total = None
        if self.adds:
            total = self.total if self.code != OBJECT else self.large
        serials = None if self.serials == NULL else numbers(INTS, self.serials + head, count)
        times = numbers(INTS, self.times + head, count)
        return [0, times, values, serials, 0, total, max(self.room, 0)]

    def __eq__(self, other):
        return isinstance(other, Window) and self.content() == other.content()

    def __reduce__(self):
        return restored, (self.content(),)


cdef int grow(Window w) except -1:
    cdef int capacity = more(w.size)
    w.times = <int64_t*> resized(w.times, capacity)
    if w.code == INT or w.code == DOUBLE:
        w.values = <int64_t*> resized(w.values, capacity)
    if w.serials != NULL:
        w.serials = <int64_t*> resized(w.serials, capacity)
    w.capacity = capacity
    return 0


cdef int compact(Window w) except -1:
    """Give back the memory of what is forgotten."""
    cdef int head = w.head
    w.size -= head
    w.head = 0
    memmove(w.times, w.times + head, <size_t> w.size * 8)
    if w.code == INT or w.code == DOUBLE:
        memmove(w.values, w.values + head, <size_t> w.size * 8)
    elif w.code == OBJECT:
        del w.objects[:head]
    if w.serials != NULL:
        memmove(w.serials, w.serials + head, <size_t> w.size * 8)
    if w.capacity > 2 * w.size + 8:
        grow(w)
    return 0


cdef int leave(Window w, int new) except -1:
    """Forget all before the place ``new``."""
    cdef int place
    if w.adds:
        if w.code == OBJECT:
            w.large -= sum(w.objects[w.head:new])
        else:
            for place in range(w.head, new):
                w.total -= w.values[place]
    w.head = new
    if new > ROOM and new * 2 > w.size:
        compact(w)
    return 0


cdef int expire(Window w, int64_t limit) except -1:
    """Forget the events at or before ``limit``."""
    cdef int low = w.head, high = w.size, middle
    if low == high or w.times[low] > limit:
        return 0
    while low < high:
        middle = (low + high) >> 1
        if limit < w.times[middle]:
            high = middle
        else:
            low = middle + 1
    return leave(w, low)


cdef int make_room(Window w, bint ends, int64_t limit) except -1:
    """Give back what has left the window, and say when to do so again; how many are left."""
    cdef int live
    if ends:
        expire(w, limit)
    live = w.size - w.head
    if live < REMEMBERED:
        if w.head:
            compact(w)
        w.room = min(2 * live + ROOM, REMEMBERED + 1)
    return live


cdef int to_objects(Window w) except -1:
    """Keep the values as Python's own from here on: not all are numbers of one kind that fits."""
    cdef int place
    if w.code == OBJECT:
        return 0
    if w.code == DOUBLE:
        w.objects = [(<double*> w.values)[place] for place in range(w.size)]
    else:
        w.objects = [w.values[place] for place in range(w.size if w.code == INT else 0)]
    w.large = w.total
    PyMem_Free(w.values)
    w.values = NULL
    w.code = OBJECT
    return 0


cdef int add_value(Window w, value) except -1:
    """Put a value beside the time to come."""
    cdef int64_t number
    if w.code == NOTHING:
        w.code = INT if type(value) is int else DOUBLE if type(value) is float else OBJECT
        if w.code == OBJECT:
            w.objects = []
        else:
            w.values = <int64_t*> resized(NULL, w.capacity)
    if w.code == INT:
        if type(value) is int:
            try:
                w.values[w.size] = value
                return 0
            except OverflowError:
                pass
        to_objects(w)
    elif w.code == DOUBLE:
        if type(value) is float:
            (<double*> w.values)[w.size] = value
            return 0
        to_objects(w)
    w.objects.append(value)
    return 0


cdef int add_amount(Window w, value) except -1:
    """Put a value in millionths beside the time to come, and add it."""
    cdef double scaled, near
    cdef int64_t micro
    w.adds = True
    if type(value) is float:
        scaled = <double> value * 1e6
        near = rint(scaled)
        if -1e15 < scaled < 1e15 and -0.25 < scaled - near < 0.25:
            return add_micro(w, <int64_t> near)
    exact = millionths(value)
    if -LARGE < exact < LARGE:
        return add_micro(w, exact)
    to_objects(w)
    w.objects.append(exact)
    w.large += exact
    return 0


cdef int add_micro(Window w, int64_t micro) except -1:
    if w.code != OBJECT and not -LARGE < w.total < LARGE:
        to_objects(w)
    if w.code == OBJECT:
        w.objects.append(micro)
        w.large += micro
        return 0
    if w.code == NOTHING:
        w.values = <int64_t*> resized(NULL, w.capacity)
        w.code = INT
    w.values[w.size] = micro
    w.total += micro
    return 0


cdef int add(Window w, int kind, int64_t t, value) except -1:
    if w.size == w.capacity:
        grow(w)
    if kind == COUNT:
        pass
    elif kind == SUM or kind == AVG:
        add_amount(w, value)
    elif kind == LAST or kind == SINCE:
        w.times[0] = t
        w.head, w.size = 0, 1
        if kind == LAST:
            w.code = OBJECT
            w.objects = [value]
        return 0
    else:
        add_value(w, value)
    w.times[w.size] = t
    w.size += 1
    return 0


cdef list held(Window w):
    cdef int place
    if w.code == OBJECT:
        return w.objects[w.head:]
    if w.code == DOUBLE:
        return [(<double*> w.values)[place] for place in range(w.head, w.size)]
    return [w.values[place] for place in range(w.head, w.size)]


cdef value_of(Window w, int kind, object plain, int64_t t):
    """What a window says that is not empty."""
    cdef int count = w.size - w.head
    if kind == COUNT:
        return count
    if kind == SINCE:
        return (t - w.times[w.size - 1]) / _SECOND
    if kind == SUM or kind == AVG:
        if kind == SUM:
            count = 1
        if w.code != OBJECT and -EXACT < w.total < EXACT:
            return <double> w.total / (<double> 1_000_000 * count)
        return (w.large if w.code == OBJECT else w.total) / (1_000_000 * count)
    if kind == FIRST or kind == LAST:
        count = w.head if kind == FIRST else w.size - 1
        if w.code == OBJECT:
            return w.objects[count]
        return (<double*> w.values)[count] if w.code == DOUBLE else w.values[count]
    return plain(held(w))


@cython.final
@cython.no_gc
cdef class Keyed:
    """See ``features.Keyed``. When a key was touched is told by its window."""

    cdef readonly dict windows
    cdef int upper
    cdef int64_t touches

    def __cinit__(self):
        self.windows = {}

    def left(self, int64_t limit):
        """Forget the events at or before ``limit``; how many are left."""
        cdef Window w
        cdef int count = 0
        for w in self.windows.values():
            expire(w, limit)
            count += w.size - w.head
        return count

    def content(self):
        """What is remembered, as ``restored`` takes it."""
        windows = {key: self.windows[key].content() for key in in_order(self)}
        return [1, windows, self.upper]

    def __eq__(self, other):
        return isinstance(other, Keyed) and self.content() == other.content()

    def __reduce__(self):
        return restored, (self.content(),)


cdef touched(pair):
    return (<Window> pair[1]).touched


cdef list in_order(Keyed keyed):
    """The keys, the one touched longest ago first."""
    order = [((<Window> window).touched, key) for key, window in keyed.windows.items()]
    order.sort()
    return [key for _, key in order]


cdef int drop_key(Keyed keyed, bint ends, int64_t limit) except -1:
    cdef Window w, oldest = None
    for key, window in keyed.windows.items():
        w = window
        if oldest is None or w.touched < oldest.touched:
            oldest, first = w, key
    del keyed.windows[first]
    if ends:
        expire(oldest, limit)
    return oldest.size - oldest.head


cdef int shrink(Keyed keyed, bint ends, int64_t limit) except -1:
    cdef Window w, oldest
    cdef int dropped = 0
    keyed.upper = 0
    for w in keyed.windows.values():
        if ends:
            expire(w, limit)
        keyed.upper += w.size - w.head
    while keyed.upper > REMEMBERED:
        oldest = None
        for w in keyed.windows.values():
            if w.size > w.head and (
                oldest is None or w.serials[w.head] < oldest.serials[oldest.head]
            ):
                oldest = w
        leave(oldest, oldest.head + 1)
        keyed.upper -= 1
        dropped += 1
    return dropped


cdef int add_keyed(
    Keyed keyed, int kind, bint ends, int64_t limit, key, value, int64_t t, int64_t serial
) except -1:
    cdef PyObject* found = PyDict_GetItem(keyed.windows, key)
    cdef Window w
    cdef int dropped = 0
    if found == NULL:
        if len(keyed.windows) >= KEYS:
            dropped = drop_key(keyed, ends, limit)
        w = Window.__new__(Window)
        w.capacity = more(0)
        w.times = <int64_t*> resized(NULL, w.capacity)
        w.serials = <int64_t*> resized(NULL, w.capacity)
        keyed.windows[key] = w
    else:
        w = <Window> found
    keyed.touches += 1
    w.touched = keyed.touches
    add(w, kind, t, value)
    w.serials[w.size - 1] = serial
    if w.size >= w.room:
        make_room(w, ends, limit)
    keyed.upper += 1
    if keyed.upper > REMEMBERED:
        dropped += shrink(keyed, ends, limit)
    return dropped


@cython.final
cdef class Place:
    """See ``features.Place``."""

    cdef int kind
    cdef bint ends
    cdef int64_t over
    cdef readonly object slot
    cdef object empty, plain

    def __init__(self, str kind, slot, over):
        self.kind = _CODES.get(kind, PERCENTILE)
        self.slot = slot
        self.ends = over is not None
        self.over = over or 0
        self.empty = KINDS[kind].empty
        self.plain = KINDS[kind].of_values

    def add(self, dict features, value, int64_t t):
        """Add an event; how many remembered ones had to be dropped for it."""
        cdef PyObject* found = PyDict_GetItem(features, self.slot)
        cdef Window w
        cdef int live
        if found == NULL:
            w = Window.__new__(Window)
            PyDict_SetItem(features, self.slot, w)
        else:
            w = <Window?> found
        add(w, self.kind, t, value)
        if w.size < w.room:
            return 0
        live = make_room(w, self.ends, t - self.over)
        if live <= REMEMBERED:
            return 0
        leave(w, w.head + live - REMEMBERED)
        w.room = 0
        return live - REMEMBERED

    def add_key(self, dict features, key, value, int64_t t, int64_t serial):
        """Add an event of a key; how many remembered ones had to be dropped for it."""
        cdef PyObject* found = PyDict_GetItem(features, self.slot)
        cdef Keyed keyed
        if found == NULL:
            keyed = Keyed.__new__(Keyed)
            PyDict_SetItem(features, self.slot, keyed)
        else:
            keyed = <Keyed?> found
        return add_keyed(keyed, self.kind, self.ends, t - self.over, key, value, t, serial)

    def read(self, dict features, int64_t t):
        """The feature at ``t``, which is not before the last event."""
        cdef PyObject* found = PyDict_GetItem(features, self.slot)
        return self.empty if found == NULL else self.of(<Window?> found, t)

    def read_key(self, dict features, key, int64_t t):
        """The feature of a key, which may be none, at ``t``."""
        cdef PyObject* found = PyDict_GetItem(features, self.slot)
        if found == NULL or key is None:
            return self.empty
        found = PyDict_GetItem((<Keyed?> found).windows, key)
        return self.empty if found == NULL else self.of(<Window> found, t)

    cdef of(self, Window w, int64_t t):
        if self.ends:
            expire(w, t - self.over)
        if w.size == w.head:
            return self.empty
        return value_of(w, self.kind, self.plain, t)


cdef Window window_of(list content):
    _, times, values, serials, head, total, room = content
    cdef Window w = Window.__new__(Window)
    cdef int place, gone = head
    w.size = w.capacity = len(times) - gone
    w.room = room
    if w.size:
        w.times = copied(times, gone, w.size)
        if serials is not None:
            w.serials = copied(serials, gone, w.size)
    elif serials is not None:
        w.capacity = more(0)
        w.times = <int64_t*> resized(NULL, w.capacity)
        w.serials = <int64_t*> resized(NULL, w.capacity)
    w.adds = total is not None
    if isinstance(values, list):
        w.code = OBJECT
        w.objects = values[gone:]
        w.large = total or 0
    elif values is not None:
        w.code = INT if values.typecode == "q" else DOUBLE
        w.values = <int64_t*> resized(NULL, max(w.capacity, 1))
        memcpy(w.values, (<array> values).data.as_longlongs + gone, <size_t> w.size * 8)
        if total is not None and not -LARGE < total < LARGE:
            to_objects(w)
            w.large = total
        else:
            w.total = total or 0
    return w


cdef int64_t* copied(array source, int begin, int count) except NULL:
    block = <int64_t*> resized(NULL, count)
    memcpy(block, source.data.as_longlongs + begin, <size_t> count * 8)
    return block


def restored(content):
    """The window, or windows by key, that gave ``content``."""
    cdef Keyed keyed
    cdef Window w
    if content[0] == 0:
        return window_of(content)
    keyed = Keyed.__new__(Keyed)
    for key, one in content[1].items():
        w = window_of(one)
        keyed.touches += 1
        w.touched = keyed.touches
        keyed.windows[key] = w
    keyed.upper = content[2]
    return keyed


# -- ids -------------------------------------------------------------------------------------------

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


# -- subjects --------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Subject:
    """See ``decide.state.Subject``."""

    cdef public int64_t deadline, clock, serial, generation, epoch
    cdef readonly Ids ids
    cdef public dict features, patterns
    cdef public object ledger, shadow

    def __init__(
        self, int64_t deadline=1 << 62, int64_t clock=0, int64_t serial=0, Ids ids=None,
        dict features=None, dict patterns=None, ledger=None, shadow=None,
        int64_t generation=0, int64_t epoch=0,
    ):
        self.deadline, self.clock, self.serial = deadline, clock, serial
        self.ids = Ids.__new__(Ids) if ids is None else ids
        self.features = {} if features is None else features
        self.patterns = {} if patterns is None else patterns
        self.ledger, self.shadow = ledger, shadow
        self.generation, self.epoch = generation, epoch

    def content(self):
        """Its fields in order."""
        return (
            self.deadline, self.clock, self.serial, self.ids, self.features, self.patterns,
            self.ledger, self.shadow, self.generation, self.epoch,
        )


def each(engine, records, list out):
    """See ``Engine.each``."""
    cdef Subject subject
    cdef PyObject* found
    cdef int lost
    cdef int64_t received = -1, time, t
    cdef Py_ssize_t order = -2
    population, force = engine.population, engine._force
    cdef dict subjects = population.of, counters = engine.counters
    cdef int64_t generation = population.generation, alarm = engine._alarm
    cdef int64_t late_after = force.now.settings.lateness
    world = force.base
    cdef bint apart = force.apart
    cdef dict plans = world.plans
    for record in records:
        order += 2
        received = record.received
        if received >= alarm:
            out += [(order, made) for made in engine._advance(received)]
            alarm, late_after = engine._alarm, force.now.settings.lateness
            world, apart = force.base, force.apart
            plans = world.plans
        name = record.subject
        found = PyDict_GetItem(subjects, name)
        if found == NULL or type(<object> found) is not Subject:
            subject = population.enter(name)
        else:
            subject = <Subject> found
            if subject.generation != generation:
                population.note(name, subject)
        lost = know(subject.ids, record.source, record.id, received)
        if lost:
            if lost < 0:
                counters["duplicate"] += 1
                continue
            counters["ids_forgotten"] += lost
        time = record.time
        if time > received:
            time = received
        if apart:
            force.catch_up(name, subject)
            world = force.of(name)
            plans = world.plans
        kind = record.type
        found = PyDict_GetItem(plans, kind)
        plan = force.plan(kind, world) if found == NULL else <object> found
        if received - time > late_after and plan.effect is None:
            counters["late"] += 1
            continue
        t = max(time, subject.clock)
        if subject.deadline < t:
            while subject.deadline < max(time, subject.clock):
                out += [(order, made) for made in engine._fire(name, subject)]
            t = max(time, subject.clock)
            alarm = engine._alarm
        subject.clock = t
        take = plan.take
        if take is None:
            if plan.idle:
                continue
            take = engine.specialised(plan)
        candidates = take(engine, subject, record, time, t)
        alarm = engine._alarm
        if candidates:
            decided = engine._decide(name, subject, candidates, t, force.now)
            out += [(order + 1, made) for made in decided]
    return received
