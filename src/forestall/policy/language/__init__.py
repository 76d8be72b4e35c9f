"""The policy language: pure functions from text to programs.

In order: ``parse`` YAML into the ``model``, every value with its place in the file; ``check`` it
against the language's rules and the event catalogue; ``canonical`` form and version; ``cel``
translates conditions into Python once; ``compile`` turns a policy into a program for the engine.
"""
