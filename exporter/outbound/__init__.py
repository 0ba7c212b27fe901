"""HTTP requests of actions and restarts: where to, with which credentials, and what of an answer means try again.

What speaks is imported when a request is sent: options must be cheap to load.
"""
