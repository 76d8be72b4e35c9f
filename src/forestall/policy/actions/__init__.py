"""Declarations of what playbooks may use: lookups, agents and actions, as files beside the policies.

``model`` says what a declaration is, ``read`` makes it from YAML with every mistake at its place,
``openapi`` reads the documents of the APIs that are called, ``schema`` the JSON Schemas of inputs.
``folder`` puts a deployment's folder together and tells what it offers to policies. What is
declared here is carried out by ``intervene.actions``.
"""
