"""The workshop: does the jobs that playbooks command, by what the deployment declares.

``workshop`` does a job from its arguments to its verification; ``checks`` asks lookups whether a
condition holds; ``calls`` are the ways of doing something: ``http``, ``mcp`` and ``python``.
``credentials`` gives out secrets and hides them from everything that is told. ``answers`` reads what
came back. ``notes`` remembers rates and how to undo, ``cache`` what was looked up. ``load`` makes a
workshop from a deployment's settings. What may be declared is in ``policy.actions``.
"""
