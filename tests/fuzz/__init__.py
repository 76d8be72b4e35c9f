"""Fuzzing of policies: ``targets`` says what must hold for any bytes, ``run`` looks for bytes that
break it, ``corpus`` keeps what was worth keeping. The normal suite replays the corpus.
"""
