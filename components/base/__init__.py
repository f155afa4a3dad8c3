"""What every machine has: packages, its packet filter, routing."""
