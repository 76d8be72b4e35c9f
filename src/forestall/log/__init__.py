"""Remember: append-only streams that are backbone, history and audit in one.

``port`` says what a log can do, ``streams`` which streams there are and what they hold,
``memory`` is the in-memory twin (with scripted crashes, for tests), ``sqlite`` the real one, which
keeps its ``index`` by subject and ``pieces`` of a state in modules of their own.
A stage reads batches after its cursor and commits what it appends together with the new cursor.
"""
