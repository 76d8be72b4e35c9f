"""Large pages for what Python allocates. Included by ``typed.pyx``."""

cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
    enum { PAGE = 2 << 20, REGION = 64 * PAGE, SPARE = 16 };
    static char *region, *region_end, *touched;
    static struct { void* at; size_t size; } spare[SPARE];
    static int spares;

    /* A piece of a region in large pages, or one given back lately. Called under Python's lock. */
    static void* arena_taken(void* unused, size_t size) {
        (void) unused;
        if (spares && spare[spares - 1].size == size)
            return spare[--spares].at;
        if (!region || (size_t) (region_end - region) < size) {
            size_t wanted = size > REGION ? (size + PAGE - 1) / PAGE * PAGE : REGION;
            char* found = mmap(NULL, wanted + PAGE, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (found == MAP_FAILED)
                return NULL;
            size_t before = PAGE - (size_t) found % PAGE;
            munmap(found, before);
            if (before < PAGE)
                munmap(found + before + wanted, PAGE - before);
            if (region && region < region_end)
                munmap(region, region_end - region);
            region = found + before;
            touched = region;
            region_end = region + wanted;
            madvise(region, wanted, MADV_HUGEPAGE);
        }
        void* taken = region;
        region += size;
        if (touched < region)
            touched += ((size_t) (region - touched) + PAGE - 1) / PAGE * PAGE;
        return taken;
    }

    static void arena_left(void* unused, void* at, size_t size) {
        (void) unused;
        if (spares < SPARE) {
            spare[spares].at = at;
            spare[spares++].size = size;
        } else
            munmap(at, size);
    }

    /* Have the system give the page after the one in use, if it has not yet: that takes
       milliseconds. */
    static int next_page(void) {
        if (!region || touched >= region_end || touched > region)
            return 0;
        *touched = 0;
        touched += PAGE;
        return 1;
    }

    static int in_large_pages(void) {
        PyObjectArenaAllocator allocator = {NULL, arena_taken, arena_left};
        PyObject_SetArenaAllocator(&allocator);
        return 1;
    }
    #else
    static int in_large_pages(void) { return 0; }
    static int next_page(void) { return 0; }
    #endif
    """
    int in_large_pages()
    int next_page()


def large_pages():
    """From now on small objects are put into large pages where the system has them; whether it may.

    What is remembered lies scattered over hundreds of megabytes, and most of the time that costs goes
    into finding the pages. Called twice, it does nothing more.
    """
    return bool(in_large_pages())


def large_page_ahead():
    """Have the system give the large page that will be needed next, if none is there yet; whether it did.

    That takes milliseconds, for which no event shall wait: ask when there is time.
    """
    return bool(next_page())
