"""Kinds of actions: a module here is a word of `action: {kind: ...}`, as `exporter.model.Action` describes it."""
