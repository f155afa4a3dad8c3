"""The application: its package, releases, jobs, and the files that all nodes share."""
