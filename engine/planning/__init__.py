"""What a run will do and why: `planner` makes the plan, `last_run` remembers the graph for reasons."""
