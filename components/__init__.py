"""The components of php-cluster; docs/architecture.md shows how they fit together."""
