"""What is known in words: runbooks, and the templates that fill them with a customer's own values.

``template`` parses and renders text over declared fields only. ``runbooks`` loads Markdown files
with front matter: what the customer reads, and what the agent reads when a case is handed over.
"""
