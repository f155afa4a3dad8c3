"""Sessions that survive: PHP's extension, and the change from one profile to the other."""
