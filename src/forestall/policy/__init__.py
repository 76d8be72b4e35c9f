"""What we want: policies as authors write them, checked, compiled, versioned.

``language`` is the language itself (pure: text in, programs out), ``bundle`` a folder of policies
as one unit that can be put in force.
"""
