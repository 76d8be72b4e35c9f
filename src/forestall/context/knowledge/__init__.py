"""What is known in words: runbooks, articles, and the templates that fill in a customer's own values.

``runbooks`` reads Markdown files with front matter (``front``), cuts them into ``sections`` and gives
``passages`` in ``plain`` words; ``stock`` keeps them up to date in a server, ``lint`` tells mistakes.
``index`` finds passages: by words (``shelf``), by meaning (``embeddings``), or by both (``fusion``).
``importing`` writes articles from elsewhere: ``zendesk``, or ``pages`` of ``html``. ``template``
parses and renders text over declared fields only.
"""
