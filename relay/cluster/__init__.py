"""Nodes that share a database: who is alive, who owns which appliance, who must wake."""
