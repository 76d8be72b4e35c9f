"""How fast the parts are, on this machine, now: ``make bench``.

Each module beside this one has a ``run`` that measures one thing and returns its figures. Compare
figures of one run only; absolute numbers belong to the machine.
"""
