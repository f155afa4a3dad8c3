"""The pair of load balancers, and the floating IP."""
