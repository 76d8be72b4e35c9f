"""How well the library finds answers: questions of public collections, asked of their answers.

``make bench-retrieval`` fetches the collections, which are not in this repository, and writes
``benchmarks/retrieval.json``, ``retrieval.md`` and the table of docs/explanation/retrieval.md.
``collections`` reads them, ``asking`` asks, ``scores`` judges, ``speed`` measures the time.
"""
