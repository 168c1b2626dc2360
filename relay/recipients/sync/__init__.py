"""Lists kept up to date from the customer's own directory (LDAP, Active Directory)."""
