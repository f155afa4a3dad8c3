"""The trusted pool, its volumes, the thin arbiter, and TLS between them."""
