"""Opening databases the one right way: SQLite ``files``, and ``tables`` on SQLite or PostgreSQL.

They are apart because SQLAlchemy, which only the tables need, takes a while to import.
"""
