"""Executing a plan: `executor` calls nodes, `ready_queue` orders them, `delivery` writes artifacts."""
