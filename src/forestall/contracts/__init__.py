"""The words every room shares: what travels, and how it goes wrong.

Start with ``event`` (what comes in), ``decision`` (what is decided), ``control`` (what governs
deciding) and ``intervention`` (what is carried out). ``instants`` is how time is counted,
``errors`` how trouble is told, ``catalogue`` which events exist and who may send them.
This room imports nothing of ours.
"""
