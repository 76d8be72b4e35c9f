"""The windows of features: the twin of ``features``. Included by ``typed.pyx``."""

cdef enum:
    COUNT, SUM, AVG, MIN, MAX, DISTINCT, FIRST, LAST, SINCE, PERCENTILE

cdef enum:
    NOTHING, INT, DOUBLE, OBJECT

_CODES = {"count": COUNT, "sum": SUM, "avg": AVG, "min": MIN, "max": MAX, "distinct": DISTINCT,
          "first": FIRST, "last": LAST, "since": SINCE}


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
        return ratio(w.large if w.code == OBJECT else w.total, 1_000_000 * count)
    if kind == FIRST or kind == LAST:
        count = w.head if kind == FIRST else w.size - 1
        if w.code == OBJECT:
            return w.objects[count]
        return (<double*> w.values)[count] if w.code == DOUBLE else w.values[count]
    return different(w) if kind == DISTINCT else plain(held(w))


cdef Py_ssize_t different(Window w) except -1:
    """How many values there are, equal ones once; a bool is no number."""
    cdef set found = set()
    for value in held(w):
        found.add((True, value) if type(value) is bool else value)
    return len(found)


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
    cdef int gone = head
    for beside in (serials, values):
        if beside is not None and len(beside) != len(times):
            raise ValueError("a window whose values do not fit its times")
    if not 0 <= gone <= len(times):
        raise ValueError("a window that begins beyond its times")
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
