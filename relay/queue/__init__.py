"""Mail waits here: states, tables, the writer, content, retry, ledger, filter, trace."""
