"""What the machines of a cluster can be made of. Each substrate is one room; registry.py says what it consists of."""
