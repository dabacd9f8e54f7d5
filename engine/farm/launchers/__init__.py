"""How workers start: `local` processes, Ray (`ray_driver`, `ray_actor`), and chunks for farms that exist already."""
