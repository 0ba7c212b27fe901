"""HTTP requests that actions make: where to, with which credentials, and what of an answer means try again.

What speaks is imported when a request is sent: options must be cheap to load.
"""
