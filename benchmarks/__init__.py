"""How fast the parts are, on this machine, now: ``make bench``.

A benchmark is a module ``bench_NAME`` beside this one. Its docstring says what is measured and how;
its ``run(**options)`` measures once and returns a list of ``figures.Figure``, and its ``QUICK``, if
it has one, holds the options of a small run. The frame calls ``run`` in at least five fresh
processes, and gives the median of each figure and its spread. Temporary files belong in
``tempfile``'s folder, which the frame puts on the disk whose fsync it times; nothing is to be
printed to stdout. What has a limit or a peer is measured against it in the same run, in turns (see
``measure``): ratios belong to the software, absolute numbers to the machine.

``workload`` is the one set of events and policies that all of them use; ``guard`` is the small
version that ``make check`` runs; ``peers`` asks other engines the same.
"""
