"""A PHP node: its mount, its PHP and its web server."""
