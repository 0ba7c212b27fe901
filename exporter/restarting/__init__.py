"""Restarts of services: what the configuration says of them, whether one may begin, and how one is carried out."""
