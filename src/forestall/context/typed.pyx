# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False
"""The typed core: what a subject is in C memory, and the way of every event to it.

Its twins in Python are ``features`` (``windows.pxi``), ``ids`` (``ids.pxi``), ``decide.state.Subject``
and the loop in ``decide.engine``. Both give the same answers and write the same content; ``core``
takes this one where it has been compiled.
"""

cimport cython
from cpython.array cimport array, clone
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject, PyObject_Hash
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport rint
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from forestall.context import ids as plain_ids
from forestall.context.features import KEYS as _KEYS
from forestall.context.features import KINDS, millionths, ratio
from forestall.context.features import REMEMBERED as _REMEMBERED
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND as _SECOND

cdef int REMEMBERED = _REMEMBERED
cdef int KEYS = _KEYS
cdef int64_t REPEATED_WITHIN = plain_ids.REPEATED_WITHIN
cdef int ROOM = 32
cdef int64_t LARGE = 1 << 62
cdef int64_t EXACT = 1 << 53
cdef array INTS = array("q"), DOUBLES = array("d")


cdef int more(int used) noexcept nogil:
    """The capacity for one more than ``used``."""
    return used + (used >> 3) + 4


cdef void* resized(void* block, int count) except NULL:
    block = PyMem_Realloc(block, <size_t> count * 8)
    if block == NULL:
        raise MemoryError
    return block


include "pages.pxi"
include "windows.pxi"
include "ids.pxi"


@cython.final
cdef class Remembered:
    """What a function of one value says of texts, asked once for each of the ``most`` met last."""

    cdef dict known
    cdef object function
    cdef Py_ssize_t most

    def __init__(self, function, Py_ssize_t most):
        self.known, self.function, self.most = {}, function, most

    def of(self, value):
        """What it says of ``value``."""
        cdef PyObject* found
        if type(value) is not str:
            return self.function(value)
        found = PyDict_GetItem(self.known, value)
        if found != NULL:
            return <object> found
        if len(self.known) >= self.most:
            self.known.clear()
        told = self.known[value] = self.function(value)
        return told


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Subject:
    """See ``decide.state.Subject``. ``near`` knows it by its ``name``, if that is set."""

    cdef public int64_t deadline, clock, serial, generation, epoch
    cdef readonly Ids ids
    cdef public dict features, patterns
    cdef str name
    cdef Near near
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

    def __dealloc__(self):
        if self.near is not None:
            left(self)

    def content(self):
        """Its fields in order."""
        return (
            self.deadline, self.clock, self.serial, self.ids, self.features, self.patterns,
            self.ledger, self.shadow, self.generation, self.epoch,
        )

    def __eq__(self, other):
        return isinstance(other, Subject) and self.content() == other.content()


cdef extern from *:
    """
    #include <structmember.h>
    static Py_ssize_t place_of(PyObject* member) {
        PyMemberDef* found = Py_TYPE(member) == &PyMemberDescr_Type
            ? ((PyMemberDescrObject*) member)->d_member : NULL;
        if (!found || found->type != T_OBJECT_EX) {
            PyErr_SetString(PyExc_ImportError, "the fields of records are not where they were");
            return -1;
        }
        return found->offset;
    }
    static inline PyObject* field(PyObject* record, Py_ssize_t place) {
        return Py_NewRef(*(PyObject**) ((char*) record + place));
    }
    #if defined(__GNUC__) || defined(__clang__)
    #define soon(at) __builtin_prefetch(at)
    #else
    #define soon(at) (void)(at)
    #endif
    #define keys_of(dict) ((const char*) ((PyDictObject*) (dict))->ma_keys)
    """
    Py_ssize_t place_of(object member) except -1
    object field(object record, Py_ssize_t place)
    void soon(const void* at) nogil
    const char* keys_of(PyObject* dict) nogil


cdef Py_ssize_t RECEIVED = place_of(Record.received), SUBJECT = place_of(Record.subject)
cdef Py_ssize_t SOURCE = place_of(Record.source), ID = place_of(Record.id)
cdef Py_ssize_t TIME = place_of(Record.time), TYPE = place_of(Record.type)

cdef enum:
    AHEAD = 16
    MOST_NEAR = 1 << 18
    GONE = -1


cdef inline object checked(record):
    if type(record) is not Record:
        raise TypeError(f"a Record is expected, not {type(record).__name__}")
    return record


cdef struct Slot:
    Py_hash_t hash
    PyObject* subject


@cython.final
@cython.no_gc
cdef class Near:
    """Where subjects lie that had events lately, by the hash of their names: a place has the one that
    came last. It holds none of them; who is no more takes himself out."""

    cdef Slot* slots
    cdef Py_ssize_t size

    def __cinit__(self):
        widen(self, 64)

    def __dealloc__(self):
        PyMem_Free(self.slots)


cdef int widen(Near near, Py_ssize_t size) except -1:
    """Begin anew with ``size`` places."""
    block = <Slot*> PyMem_Calloc(size, sizeof(Slot))
    if block == NULL:
        raise MemoryError
    PyMem_Free(near.slots)
    near.slots, near.size = block, size
    return 0


cdef inline Slot* slot_of(Near near, Py_hash_t hash) noexcept:
    return &near.slots[(hash ^ (hash >> 20)) & (near.size - 1)]


cdef inline void left(Subject subject) noexcept:
    cdef Slot* slot = slot_of(subject.near, PyObject_Hash(subject.name))
    if slot.subject == <PyObject*> subject:
        slot.subject = NULL


cdef inline Subject met(Near near, str name):
    """The subject of that name, if it lies where it is looked for."""
    cdef Py_hash_t hash = PyObject_Hash(name)
    cdef Slot* slot = slot_of(near, hash)
    cdef Subject subject
    if slot.hash == hash and slot.subject != NULL:
        subject = <Subject> slot.subject
        if subject.generation != GONE and subject.name == name:
            return subject
    return None


cdef inline int meet(Near near, str name, Subject subject) except -1:
    """Let a subject be found next time."""
    cdef Py_hash_t hash = PyObject_Hash(name)
    cdef Slot* slot = slot_of(near, hash)
    slot.hash, slot.subject = hash, <PyObject*> subject
    subject.name, subject.near = name, near
    return 0


cdef int approach(Near near, list records, Py_ssize_t begin) except -1:
    """Ask the memory for what the next records need, all at once: their subjects, then what these
    point to. So that one event waits for many, instead of each for its own."""
    cdef Py_ssize_t place, end = min(begin + AHEAD, len(records))
    cdef Py_hash_t[AHEAD] hashes
    cdef PyObject *found[AHEAD]
    cdef Slot* slot
    cdef Subject subject
    cdef int count = 0, one
    for place in range(begin, end):
        hashes[place - begin] = PyObject_Hash(field(checked(records[place]), SUBJECT))
        soon(slot_of(near, hashes[place - begin]))
    for place in range(end - begin):
        slot = slot_of(near, hashes[place])
        if slot.hash == hashes[place] and slot.subject != NULL:
            found[count] = slot.subject
            soon(found[count])
            soon(<const char*> found[count] + 64)
            count += 1
    for one in range(count):
        subject = <Subject> found[one]
        soon(<PyObject*> subject.name)
        soon(<PyObject*> subject.ids)
        soon(<PyObject*> subject.features)
        soon(<PyObject*> subject.patterns)
    for one in range(count):
        subject = <Subject> found[one]
        soon(subject.ids.known + max(subject.ids.size - 1, 0))
        soon(keys_of(<PyObject*> subject.features))
        soon(keys_of(<PyObject*> subject.features) + 64)
        soon(keys_of(<PyObject*> subject.patterns))
        soon(keys_of(<PyObject*> subject.patterns) + 64)
    return 0


def each(engine, given, list out):
    """See ``Engine.each``."""
    cdef Subject subject
    cdef PyObject* found
    cdef int lost
    cdef int64_t received = -1, time, t
    cdef Py_ssize_t order = -2
    population, force = engine.population, engine._force
    cdef list records = given if type(given) is list else list(given)
    cdef dict subjects = population.of, counters = engine.counters
    cdef Near near = population.near
    cdef int64_t generation = population.generation, alarm = engine._alarm
    cdef int64_t late_after = force.now.settings.lateness
    world = force.base
    cdef bint apart = force.apart
    cdef dict plans = world.plans
    cdef str name
    if len(subjects) > near.size >> 1 and near.size < MOST_NEAR:
        widen(near, near.size * 8)
    for record in records:
        if (order // 2 + 1) % AHEAD == 0 and len(records) > 1:
            approach(near, records, order // 2 + 1)
        order += 2
        received = field(checked(record), RECEIVED)
        if received >= alarm:
            out += [(order, made) for made in engine._advance(received)]
            alarm, late_after = engine._alarm, force.now.settings.lateness
            world, apart = force.base, force.apart
            plans = world.plans
        name = field(record, SUBJECT)
        subject = met(near, name)
        if subject is None:
            found = PyDict_GetItem(subjects, name)
            if found == NULL:
                subject = Subject()
                subjects[name] = subject
            elif type(<object> found) is Subject:
                subject = <Subject> found
            else:
                subject = population.enter(name)
            meet(near, name, subject)
        if subject.generation != generation:
            population.note(name, subject)
        lost = know(subject.ids, field(record, SOURCE), field(record, ID), received)
        if lost:
            if lost < 0:
                counters["duplicate"] += 1
                continue
            counters["ids_forgotten"] += lost
        time = field(record, TIME)
        if time > received:
            time = received
        if apart:
            force.catch_up(name, subject)
            world = force.of(name)
            plans = world.plans
        kind = field(record, TYPE)
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
        if candidates is None:
            continue
        alarm = engine._alarm
        if candidates:
            decided = engine._decide(name, subject, candidates, t, force.now)
            out += [(order + 1, made) for made in decided]
    return received
