"""The coordinator: decides and enqueues. Rule: it never imports torch, and meets the worker only in `celeriac`."""
