"""The same questions on the same file in other engines: ``make bench-peers``.

``questions`` derives what is asked from the workload's policies and writes the file; ``ours``
answers with Forestall's engine, and ``flink``, ``csp`` and ``duckdb`` hold one ``answer.py`` each,
run by the peer's own Python in ``.cache/peers``. Every answerer speaks ``contest``'s few lines over
its pipes. Answers are compared before anything is timed. ``README.md`` says what is compared, and
where the comparison is not level.
"""
