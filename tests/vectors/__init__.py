"""Numbers of the released model for small networks, and the rule that makes their weights from names alone."""
