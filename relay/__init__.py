"""The failover relay: a secondary MX that keeps a customer's mail while their appliance is down."""
