"""Guard: who somebody is stays here.

``tokens`` checks the signed subject token that a browser brings. ``vault`` keeps which person a
random pseudonym stands for, and their personal fields, encrypted under a key of their own;
forgetting the key forgets the person. Every other room sees pseudonyms only.
"""
