# cython: language_level=3, binding=False, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False
"""The keys of the index by subject in C: the twin of ``keys``, which says what all this means."""

cimport cython
from cpython.array cimport array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

from forestall.log import keys as plain

cdef extern from *:
    """
    static inline uint64_t folded(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128) a * b;
        return (uint64_t) product ^ (uint64_t) (product >> 64);
    }
    static inline uint64_t swapped(uint64_t x) { return __builtin_bswap64(x); }
    """
    uint64_t folded(uint64_t a, uint64_t b) noexcept nogil
    uint64_t swapped(uint64_t x) noexcept nogil

cdef enum:
    HALF = 8
    KEY = 16
    ENTRY = 21
    BUCKETS = 1024

assert (HALF, KEY, ENTRY, BUCKETS) == (plain.HALF, plain.KEY, plain.ENTRY, plain.BUCKETS)
assert plain.WORDS == 1 << 19

cdef uint64_t[1024] MASKS, MORE_MASKS
cdef int _at
for _at in range(1024):
    MASKS[_at], MORE_MASKS[_at] = plain.MASKS[_at], plain.MORE_MASKS[_at]


# -- BLAKE2b with 8 bytes of digest and no key (RFC 7693), and a person as hashlib takes it ----------

cdef extern from *:
    """
    static const uint64_t IV[8] = {
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    };
    static const uint8_t SIGMA[12][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    };
    #define TURNED(x, by) (((x) >> (by)) | ((x) << (64 - (by))))
    #define MIX(a, b, c, d, n) \
        a += b + m[s[2 * n]]; d = TURNED(d ^ a, 32); c += d; b = TURNED(b ^ c, 24); \
        a += b + m[s[2 * n + 1]]; d = TURNED(d ^ a, 16); c += d; b = TURNED(b ^ c, 63);
    static void compress(uint64_t* h, const char* block, uint64_t taken, int last) {
        uint64_t v[16], m[16];
        memcpy(m, block, 128);
        for (int n = 0; n < 8; n++) { v[n] = h[n]; v[n + 8] = IV[n]; }
        v[12] ^= taken;
        if (last) v[14] = ~v[14];
        #pragma GCC unroll 12
        for (int n = 0; n < 12; n++) {
            const uint8_t* s = SIGMA[n];
            MIX(v[0], v[4], v[8], v[12], 0) MIX(v[1], v[5], v[9], v[13], 1)
            MIX(v[2], v[6], v[10], v[14], 2) MIX(v[3], v[7], v[11], v[15], 3)
            MIX(v[0], v[5], v[10], v[15], 4) MIX(v[1], v[6], v[11], v[12], 5)
            MIX(v[2], v[7], v[8], v[13], 6) MIX(v[3], v[4], v[9], v[14], 7)
        }
        for (int n = 0; n < 8; n++) h[n] ^= v[n] ^ v[n + 8];
    }
    """
    const uint64_t* IV
    void compress(uint64_t* h, const char* block, uint64_t taken, bint last) noexcept nogil


cdef uint64_t SUBJECT, IDENTITY
memcpy(&SUBJECT, b"subject\0", 8)
memcpy(&IDENTITY, b"identity", 8)


cdef uint64_t blake(const char* at, Py_ssize_t size, uint64_t person) noexcept nogil:
    """The digest of a text, in the machine's order, which is little-endian."""
    cdef uint64_t[8] h
    cdef char[128] rest
    cdef uint64_t taken = 0
    memcpy(&h[0], <const void*> IV, 64)
    h[0] ^= 0x01010000 | HALF
    h[6] ^= person
    while size > 128:
        taken += 128
        compress(&h[0], at, taken, False)
        at += 128
        size -= 128
    memset(rest, 0, 128)
    memcpy(rest, at, size)
    compress(&h[0], rest, taken + size, True)
    return h[0]


def keys_of(pairs):
    """See ``keys.keys_of``."""
    cdef Py_ssize_t count = len(pairs), size
    cdef bytes made = PyBytes_FromStringAndSize(NULL, count * KEY)
    cdef char* to = PyBytes_AS_STRING(made)
    cdef uint64_t[2] key
    cdef tuple pair
    cdef const char* text
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError("a pair is a subject and an identity")
        text = PyUnicode_AsUTF8AndSize(<str?> pair[0], &size)
        key[0] = blake(text, size, SUBJECT)
        text = PyUnicode_AsUTF8AndSize(<str?> pair[1], &size)
        key[1] = blake(text, size, IDENTITY)
        memcpy(to, &key[0], KEY)
        to += KEY
    return made


# -- filters ------------------------------------------------------------------------------------------

cdef inline uint64_t hashed(const char* key) noexcept nogil:
    """XXH3 of 16 bytes, 64 bits (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    cdef uint64_t low, high, h
    memcpy(&low, key, 8)
    memcpy(&high, key + 8, 8)
    low ^= <uint64_t> 0x6782737BEA4239B9
    high ^= <uint64_t> 0xAF56BC3B0996523A
    h = 16 + swapped(low) + high + folded(low, high)
    h = (h ^ (h >> 37)) * <uint64_t> 0x165667919E3779F9
    return h ^ (h >> 32)


cdef inline uint64_t mask_of(uint64_t h) noexcept nogil:
    return MASKS[h & 0x3FF] | MORE_MASKS[(h >> 10) & 0x3FF]


def note(array words not None, bytes keys not None):
    """See ``keys.note``."""
    cdef uint64_t* word = <uint64_t*> words.data.as_chars
    cdef const char* at = PyBytes_AS_STRING(keys)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(keys) // KEY
    cdef uint64_t h
    for _ in range(count):
        h = hashed(at)
        word[h >> 45] |= mask_of(h)
        at += KEY


def passing(array words not None, bytes keys not None):
    """See ``keys.passing``."""
    cdef uint64_t* word = <uint64_t*> words.data.as_chars
    cdef const char* at = PyBytes_AS_STRING(keys)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(keys) // KEY, number
    cdef uint64_t h, mask
    cdef list found = []
    for number in range(count):
        h = hashed(at)
        mask = mask_of(h)
        if word[h >> 45] & mask == mask:
            found.append(number)
        at += KEY
    return found


# -- what is not yet folded ---------------------------------------------------------------------------

cdef uint64_t SECRET = <uint64_t> hash(b"subject"), OTHER = <uint64_t> hash(b"identity")
"""Of this process, so that nobody can send many keys that meet in the table."""

cdef struct Entry:
    char[16] key
    int64_t position


@cython.final
@cython.no_gc
cdef class Gathered:
    """See ``keys.Gathered``: entries in the order of batches, a table of places (from 1) by hash, and
    once somebody asks for a bucket, the places in the order of buckets."""

    cdef Entry* known
    cdef uint32_t* places
    cdef uint32_t* sorted
    cdef uint32_t[1025] starts
    cdef Py_ssize_t size, capacity
    cdef uint64_t mask
    cdef readonly int64_t first, last

    def __cinit__(self):
        self.place_all((1 << 12) - 1)

    def __dealloc__(self):
        PyMem_Free(self.known)
        PyMem_Free(self.places)
        PyMem_Free(self.sorted)

    @property
    def count(self):
        """How many keys were added."""
        return self.size

    def add(self, int64_t position, bytes keys not None):
        """Gather the keys of the batch at ``position``, which is after all others."""
        cdef const char* at = PyBytes_AS_STRING(keys)
        cdef Py_ssize_t count = PyBytes_GET_SIZE(keys) // KEY
        self.reserve(count)
        PyMem_Free(self.sorted)
        self.sorted = NULL
        self.first = self.first or position
        self.last = position
        for _ in range(count):
            memcpy(self.known[self.size].key, at, KEY)
            self.known[self.size].position = position
            self.size += 1
            self.place(self.size)
            at += KEY

    def newest(self, bytes keys not None):
        """The newest position of each of ``keys``, 0 if there is none."""
        cdef const char* at = PyBytes_AS_STRING(keys)
        cdef Py_ssize_t count = PyBytes_GET_SIZE(keys) // KEY, number
        cdef list found = PyList_New(count)
        cdef uint32_t place
        cdef object position
        for number in range(count):
            place = self.places[self.slot(at)]
            position = self.known[place - 1].position if place else 0
            Py_INCREF(position)
            PyList_SET_ITEM(found, number, position)
            at += KEY
        return found

    def entries(self, int bucket):
        """The entries of a bucket, in the order of batches."""
        cdef uint32_t start, end, at
        cdef bytes made
        cdef char* to
        if not 0 <= bucket < BUCKETS:
            raise IndexError(bucket)
        if self.sorted == NULL:
            self.sort()
        start, end = self.starts[bucket], self.starts[bucket + 1]
        made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> (end - start) * ENTRY)
        to = PyBytes_AS_STRING(made)
        for at in range(start, end):
            memcpy(to, self.known[self.sorted[at]].key, KEY)
            memcpy(to + KEY, &self.known[self.sorted[at]].position, ENTRY - KEY)
            to += ENTRY
        return made

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make room for so many more keys."""
        cdef Py_ssize_t wanted = self.size + more, mask = <Py_ssize_t> self.mask
        cdef void* block
        if wanted >= 1 << 31:
            raise OverflowError("too many keys")
        if wanted > self.capacity:
            self.capacity = max(wanted, 2 * self.capacity)
            block = PyMem_Realloc(self.known, self.capacity * sizeof(Entry))
            if block == NULL:
                raise MemoryError
            self.known = <Entry*> block
        if 2 * wanted > mask:
            while 2 * wanted > mask:
                mask = 2 * mask + 1
            self.place_all(mask)
        return 0

    cdef int place_all(self, Py_ssize_t mask) except -1:
        """Make a table of so many places, and one."""
        cdef uint32_t* places = <uint32_t*> PyMem_Calloc(mask + 1, sizeof(uint32_t))
        cdef Py_ssize_t at
        if places == NULL:
            raise MemoryError
        PyMem_Free(self.places)
        self.places, self.mask = places, mask
        for at in range(1, self.size + 1):
            self.place(at)
        return 0

    cdef inline uint64_t slot(self, const char* key) noexcept:
        """Where in the table ``key`` is, or would be."""
        cdef uint64_t subject, identity, slot
        memcpy(&subject, key, 8)
        memcpy(&identity, key + 8, 8)
        slot = folded(subject ^ SECRET, identity ^ OTHER) & self.mask
        while self.places[slot] and not same(self.known[self.places[slot] - 1].key, key):
            slot = (slot + 1) & self.mask
        return slot

    cdef inline void place(self, Py_ssize_t at) noexcept:
        self.places[self.slot(self.known[at - 1].key)] = <uint32_t> at

    cdef int sort(self) except -1:
        """Order the places by bucket, and within by batch."""
        cdef uint32_t[1024] next_
        cdef Py_ssize_t at
        cdef int bucket
        self.sorted = <uint32_t*> PyMem_Malloc(max(self.size, 1) * sizeof(uint32_t))
        if self.sorted == NULL:
            raise MemoryError
        memset(self.starts, 0, sizeof(self.starts))
        for at in range(self.size):
            self.starts[bucket_of(self.known[at].key) + 1] += 1
        for bucket in range(BUCKETS):
            self.starts[bucket + 1] += self.starts[bucket]
        memcpy(next_, self.starts, sizeof(next_))
        for at in range(self.size):
            bucket = bucket_of(self.known[at].key)
            self.sorted[next_[bucket]] = <uint32_t> at
            next_[bucket] += 1
        return 0


cdef inline int bucket_of(const char* key) noexcept nogil:
    return (<uint8_t> key[0] << 2) | (key[1] & 3)


cdef inline bint same(const char* a, const char* b) noexcept nogil:
    cdef uint64_t[2] x, y
    memcpy(&x[0], a, KEY)
    memcpy(&y[0], b, KEY)
    return x[0] == y[0] and x[1] == y[1]
