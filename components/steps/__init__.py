"""How a step reaches a machine: scripts, connections, drift, and what runs again."""
