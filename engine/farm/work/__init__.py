"""Working at a job: `ledger` (who has which item), `worker`, `attempt` (one item), `publishing`."""
