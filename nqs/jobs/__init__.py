"""Many runs as one: a plan, its workers on this machine or a cluster, a table."""
