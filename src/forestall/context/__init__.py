"""Know: what is known at the moment of deciding or acting.

``features`` are exact sliding windows over a subject's own events (pure). ``knowledge`` loads
runbooks, the words for customers and for the people who help them.
"""
