"""Every node function, one module for each thing that users look for."""
